package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkCost measures what the durable steps of a worker cost: a kafka.Member on the notification topic that only decodes;
// that projects; that claims, delivers by a channel that does nothing, and completes the claim; and that does both, as in
// production. The four alternate in each round; figures are medians of the rounds, and -x is the time of a side divided by that
// of decoding alone in the same round. DynamoDB needs DYNAMODB_ENDPOINT.
//
//	go test ./shared/proof/bench -run '^$' -bench Cost -benchtime 1x
func BenchmarkCost(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		benchCost(b, 10_000, func() (store.Store, store.Claims) {
			s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), uuid.NewString()))
			require.NoError(b, err)
			c, err := sqlite.OpenClaims(b.Context(), filepath.Join(b.TempDir(), uuid.NewString()), time.Now)
			require.NoError(b, err)
			b.Cleanup(func() { _ = c.Close() })
			return s, c
		})
	})
	b.Run("dynamodb", func(b *testing.B) {
		cfg, err := dynamodb.FromEnvironment(os.Getenv)
		if err != nil || os.Getenv("DYNAMODB_ENDPOINT") == "" {
			b.Skip("set DYNAMODB_ENDPOINT to a DynamoDB Local, such as http://127.0.0.1:8000")
		}
		benchCost(b, 1_000, func() (store.Store, store.Claims) {
			s, err := dynamodb.Open(cfg, "bench-"+uuid.NewString())
			require.NoError(b, err)
			require.NoError(b, s.Create(b.Context()))
			c, err := dynamodb.OpenClaims(cfg, "bench-"+uuid.NewString(), time.Now)
			require.NoError(b, err)
			require.NoError(b, c.Create(b.Context()))
			return s, c
		})
	})
}

func benchCost(b *testing.B, total int, open func() (store.Store, store.Claims)) {
	cluster := brokerAlone(b)
	topic := notificationTopic(b, cluster, total)
	sides := []string{"decode", "project", "claim", "both"}
	took := map[string][]float64{}
	for b.Loop() {
		for round := range 5 {
			for i := range sides {
				side := sides[(i+round)%len(sides)]
				took[side] = append(took[side], consumeNotifications(b, cluster, topic, total, side, open).Seconds())
			}
		}
	}
	for _, side := range sides {
		b.ReportMetric(float64(total)/median(took[side]), side+"-events/s")
		if side != "decode" {
			b.ReportMetric(median(ratios(took[side], took["decode"])), side+"-x")
		}
	}
	b.ReportMetric(0, "ns/op") // of all together: meaningless
}

// notificationTopic makes a topic with that many notifications, all different.
func notificationTopic(b *testing.B, cluster settings.Kafka, total int) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	b.Cleanup(client.Close)
	topic, admin := "bench-"+uuid.NewString(), kadm.NewClient(client)
	_, err = admin.CreateTopic(b.Context(), 6, 1, nil, topic)
	require.NoError(b, err)
	b.Cleanup(func() { _, _ = admin.DeleteTopic(context.Background(), topic) })
	for i := range total {
		e, err := events.New(events.Notification{Notice: events.Notice{Type: "contact", Message: fmt.Sprintf("New contact: Ada %d", i),
			SubjectID: uuid.NewString()}})
		require.NoError(b, err)
		value, err := e.Encode()
		require.NoError(b, err)
		client.Produce(b.Context(), &kgo.Record{Topic: topic, Key: []byte(e.Key()), Value: value}, nil)
	}
	require.NoError(b, client.Flush(b.Context()))
	return topic
}

// accepting accepts every message.
type accepting struct{}

func (accepting) Notify(context.Context, notify.Message) error { return nil }

// consumeNotifications returns how long a new group takes for the topic, with a new read model and new claims.
func consumeNotifications(b *testing.B, cluster settings.Kafka, topic string, total int, side string,
	open func() (store.Store, store.Claims)) time.Duration {
	model, claims := open()
	defer model.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var began time.Time // of the first event: joining the group takes as long on each side
	var seen atomic.Int64
	h := &consumers.OnNotification{Consumers: consumers.Consumers{Store: consumers.Projected(model), Claims: claims,
		Notifier: notify.Channels{{Name: "log", Notifier: accepting{}}}}}
	steps := map[string][]bus.Handler[events.Notification]{
		"decode": nil, "project": {h.Project}, "claim": {h.React}, "both": {h.Project, h.React},
	}[side]
	o := kafka.Options{Logger: slog.New(slog.DiscardHandler), Assigned: func(string, []int32) { began = time.Now() }}
	if side == "project" || side == "both" {
		o.Advance = model.Advance
	}
	var took time.Duration
	c := bus.NewConsumer("bench-"+uuid.NewString(), append(steps, func(context.Context, events.Event[events.Notification]) error {
		if seen.Add(1) == int64(total) {
			took = time.Since(began)
			cancel()
		}
		return nil
	})...)
	c.Topic = topic
	require.NoError(b, kafka.NewMember(cluster, c, o).Run(ctx))
	require.EqualValues(b, total, seen.Load(), "events were repeated: this machine is too busy for the group's session timeout")
	return took
}
