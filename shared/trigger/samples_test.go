package trigger_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the consumers' samples")

// TestSamples: the sample of each consumer is the event type's frozen one as MSK brings it, and its function handles it.
//
//	go test ./shared/trigger -run TestSamples -update
func TestSamples(t *testing.T) {
	offset := int64(41)
	for _, f := range (consumers.Consumers{}).Functions() {
		offset++
		t.Run(f.Name, func(t *testing.T) {
			path := filepath.Join("..", "..", "functions", "testdata", f.Name+".json")
			want := append(sample(t, f.Consumer.Topic, offset).Encode(), '\n')
			if *update {
				require.NoError(t, os.WriteFile(path, want, 0o644))
			}
			payload, err := os.ReadFile(path)
			require.NoError(t, err, "write it: go test ./shared/trigger -run TestSamples -update")
			assert.Equal(t, string(want), string(payload))

			w := newWorld(t)
			for _, partial := range []bool{true, false} { // a repeat changes nothing
				answer, err := w.handler(t, f.Name, partial).Invoke(t.Context(), payload)
				require.NoError(t, err)
				assert.Equal(t, allWell, string(answer))
			}
			batch, err := trigger.Decode(payload)
			require.NoError(t, err)
			require.NotEmpty(t, batch.Records)
			d, _ := events.Lookup(f.Consumer.Topic)
			for _, r := range batch.Records {
				e, err := d.Decode(r.Value)
				require.NoError(t, err)
				assert.Equal(t, e.Key(), string(r.Key))
				found, err := w.Store.(store.Reader).Get(t.Context(), f.Consumer.Topic, e.ResourceID())
				require.NoError(t, err)
				assert.Equal(t, e.EventID(), found.EventID)
			}
			assert.Empty(t, w.deadLetters)
			assert.NotZero(t, w.told)
		})
	}
}

func sample(t *testing.T, topic string, offset int64) trigger.Batch {
	t.Helper()
	d, ok := events.Lookup(topic)
	require.True(t, ok)
	value, err := d.Sample()
	require.NoError(t, err)
	e, err := d.Decode(value)
	require.NoError(t, err)
	return trigger.Batch{Source: trigger.SourceMSK, SourceARN: sampleARN, BootstrapServers: sampleBrokers, Records: []bus.Record{{
		Topic: topic, Partition: int32(offset % 6), Offset: offset, Timestamp: time.Date(2026, 11, 23, 6, 57, 0, 0, time.UTC),
		Key: []byte(e.Key()), Value: bytes.TrimSpace(value),
		Headers: []bus.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}},
	}}}
}

const (
	sampleARN     = "arn:aws:kafka:eu-central-1:123456789012:cluster/sipeat/6357e0b2-0e6a-4b86-a0b4-70df934c2e31-5"
	sampleBrokers = "b-1.sipeat.x1y2z3.c5.kafka.eu-central-1.amazonaws.com:9098," +
		"b-2.sipeat.x1y2z3.c5.kafka.eu-central-1.amazonaws.com:9098"
)

// world is the consumers on a real read model, with a publisher and a notifier that count.
type world struct {
	consumers.Consumers
	deadLetters []bus.DeadLetter
	told        int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	model, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "model.db"), sqlite.WithRelaxedSync())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, model.Close()) })
	w := &world{}
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"))
	require.NoError(t, err)
	t.Cleanup(func() { claims.Close() })
	w.Consumers = consumers.Consumers{Publisher: w, Notifier: w, Store: model, Claims: claims}
	return w
}

func (w *world) handler(t *testing.T, name string, partial bool) *trigger.Handler {
	t.Helper()
	for _, f := range w.Functions() {
		if f.Name == name {
			return trigger.New(f.Consumer, w, trigger.Options{Partial: partial})
		}
	}
	require.Fail(t, "no function "+name)
	return nil
}

func (w *world) Publish(context.Context, events.Any) (bus.Position, error) {
	w.told++
	return bus.Position{}, nil
}

func (w *world) Notify(context.Context, notify.Message) error {
	w.told++
	return nil
}

func (w *world) Write(_ context.Context, l bus.DeadLetter) error {
	w.deadLetters = append(w.deadLetters, l)
	return nil
}
