package trigger_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the consumers' samples")

// TestSamples: the sample of each consumer is the event type's frozen one as MSK sends it. `sipeat invoke` runs it in the tests
// of the program.
//
//	go test ./shared/trigger -run TestSamples -update
func TestSamples(t *testing.T) {
	offset := int64(41)
	for _, f := range (consumers.Consumers{}).Functions() {
		offset++
		t.Run(f.Name, func(t *testing.T) {
			path := filepath.Join("..", "..", "functions", "testdata", f.Name+".json")
			want := append(msk.encode(sample(t, f.Consumer.Topic, offset)), '\n')
			if *update {
				require.NoError(t, os.WriteFile(path, want, 0o644))
			}
			payload, err := os.ReadFile(path)
			require.NoError(t, err, "write it: go test ./shared/trigger -run TestSamples -update")
			assert.Equal(t, string(want), string(payload))

			_, err = trigger.Decode(payload)
			require.NoError(t, err)
		})
	}
}

func sample(t *testing.T, topic string, offset int64) bus.Record {
	t.Helper()
	d, ok := events.Lookup(topic)
	require.True(t, ok)
	value, err := d.Sample()
	require.NoError(t, err)
	e, err := d.Decode(value)
	require.NoError(t, err)
	return bus.Record{
		Topic: topic, Partition: int32(offset % 6), Offset: offset, Timestamp: time.Date(2026, 11, 23, 6, 57, 0, 0, time.UTC),
		Key: []byte(e.Key()), Value: bytes.TrimSpace(value),
		Headers: []bus.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}},
	}
}

var msk = awsPayload{Source: "aws:kafka",
	SourceARN: "arn:aws:kafka:eu-central-1:123456789012:cluster/sipeat/6357e0b2-0e6a-4b86-a0b4-70df934c2e31-5",
	BootstrapServers: "b-1.sipeat.x1y2z3.c5.kafka.eu-central-1.amazonaws.com:9098," +
		"b-2.sipeat.x1y2z3.c5.kafka.eu-central-1.amazonaws.com:9098"}
