package bench

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// BenchmarkProjection measures how fast a worker projects requests into DynamoDB: a kafka.Member with OnRequestCreated's Project
// beside a hand-written loop with the same client and the same writes to the same store, as many of them at a time. "ratio" is
// the worker's best speed divided by the loop's. It needs DYNAMODB_ENDPOINT. BenchmarkBacklog measures SQLite.
//
//	go test ./shared/proof/bench -run '^$' -bench Projection -benchtime 3x
func BenchmarkProjection(b *testing.B) {
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	if err != nil || os.Getenv("DYNAMODB_ENDPOINT") == "" {
		b.Skip("set DYNAMODB_ENDPOINT to a DynamoDB Local, such as http://127.0.0.1:8000")
	}
	benchProjection(b, 2_000, func() store.Store {
		table := "bench-" + uuid.NewString()
		s, err := dynamodb.Open(cfg, table)
		require.NoError(b, err)
		require.NoError(b, s.Create(b.Context()))
		return s
	})
}

func benchProjection(b *testing.B, total int, open func() store.Store) {
	cluster := brokerAlone(b)
	topic := fillTopic(b, cluster, 6, total)
	var byHand, byWorker measure
	for b.Loop() {
		s := open()
		byHand.of(func() { projectByHand(b, cluster, topic, total, s) })
		require.NoError(b, s.Close())
		s = open()
		byWorker.of(func() { projectByWorker(b, cluster, topic, total, s) })
		require.NoError(b, s.Close())
	}
	b.ReportMetric(0, "ns/op") // of both together: meaningless
	b.ReportMetric(float64(total)/byHand.best.Seconds(), "loop-events/s")
	b.ReportMetric(float64(total)/byWorker.best.Seconds(), "worker-events/s")
	b.ReportMetric(float64(byHand.best)/float64(byWorker.best), "ratio")
}

// counting calls end after the last of the expected items is stored.
type counting struct {
	store.Store
	left atomic.Int64
	end  func()
}

func (c *counting) Put(ctx context.Context, i store.Item) error {
	err := c.Store.Put(ctx, i)
	if err == nil && c.left.Add(-1) == 0 {
		c.end()
	}
	return err
}

func projectByWorker(b *testing.B, cluster settings.Kafka, topic string, total int, s store.Store) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	counted := &counting{Store: s, end: cancel}
	counted.left.Store(int64(total))
	all := consumers.Consumers{Store: counted}.Functions()
	c := all[slices.IndexFunc(all, func(f consumers.Function) bool { return f.Name == "request-created" })].Replay
	c.Topic, c.Group = topic, "bench-"+uuid.NewString()
	require.NoError(b, kafka.NewMember(cluster, c, kafka.Options{Logger: slog.New(slog.DiscardHandler)}).Run(ctx))
	require.Zero(b, counted.left.Load())
}

func projectByHand(b *testing.B, cluster settings.Kafka, topic string, total int, s store.Store) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	counted := &counting{Store: s, end: cancel}
	counted.left.Store(int64(total))
	client, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.Brokers...),
		kgo.ConsumerGroup("bench-"+uuid.NewString()),
		kgo.ConsumeTopics(
			topic,
		),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
	)
	require.NoError(b, err)
	defer client.Close()
	project := consumers.OnRequestCreated{Consumers: consumers.Consumers{Store: counted}}.Project
	for ctx.Err() == nil {
		var writes errgroup.Group
		writes.SetLimit(6 * 64) // as many as the worker's handlers
		fetches := client.PollFetches(ctx)
		for r := range fetches.RecordsAll() {
			writes.Go(func() error {
				e, err := events.Decode[events.RequestCreated](r.Value)
				if err != nil {
					return err
				}
				return project(b.Context(), e)
			})
		}
		if err := writes.Wait(); err != nil {
			b.Error(err)
		}
		client.MarkCommitRecords(fetches.Records()...)
	}
	require.Zero(b, counted.left.Load())
}
