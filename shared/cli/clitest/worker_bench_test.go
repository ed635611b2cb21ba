package clitest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkProjection answers how fast a worker takes requests into the read model: kafka.Consume with OnRequestCreated's
// Project beside a loop written by hand with the same client and the same writes of the same store, one after the other
// in each partition. "ratio" is the worker's best speed by the loop's. DynamoDB takes DYNAMODB_ENDPOINT.
//
//	go test ./shared/cli/clitest -run '^$' -bench Projection -benchtime 3x
func BenchmarkProjection(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		benchProjection(b, 20_000, func() store.Store {
			s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), uuid.NewString()))
			require.NoError(b, err)
			return s
		})
	})
	b.Run("dynamodb", func(b *testing.B) {
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
	})
}

func benchProjection(b *testing.B, total int, open func() store.Store) {
	cluster := benchCluster(b)
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
	b.ReportMetric(0, "ns/op") // of both together: says nothing
	b.ReportMetric(float64(total)/byHand.best.Seconds(), "loop-events/s")
	b.ReportMetric(float64(total)/byWorker.best.Seconds(), "worker-events/s")
	b.ReportMetric(float64(byHand.best)/float64(byWorker.best), "ratio")
}

// counting ends a run when so many items are kept.
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
	require.NoError(b, kafka.Consume(ctx, cluster, c, kafka.Options{Logger: slog.New(slog.DiscardHandler)}))
	require.Zero(b, counted.left.Load())
}

func projectByHand(b *testing.B, cluster settings.Kafka, topic string, total int, s store.Store) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	counted := &counting{Store: s, end: cancel}
	counted.left.Store(int64(total))
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ConsumerGroup("bench-"+uuid.NewString()),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second))
	require.NoError(b, err)
	defer client.Close()
	project := consumers.OnRequestCreated{Consumers: consumers.Consumers{Store: counted}}.Project
	for ctx.Err() == nil {
		var partitions sync.WaitGroup
		client.PollFetches(ctx).EachPartition(func(fetched kgo.FetchTopicPartition) {
			partitions.Go(func() {
				for _, r := range fetched.Records {
					e, err := events.Decode[events.RequestCreated](r.Value)
					if err == nil {
						err = project(b.Context(), e)
					}
					if err != nil {
						b.Error(err)
					}
				}
				client.MarkCommitRecords(fetched.Records...)
			})
		})
		partitions.Wait()
	}
	require.Zero(b, counted.left.Load())
}

// BenchmarkReadable answers how long after its 202 a contact can be read, through `sipeat api`, Kafka and `sipeat worker`, one
// after the other: of KAFKA_BROKERS, or else of the embedded broker.
//
//	KAFKA_BROKERS=127.0.0.1:9092 go test ./shared/cli/clitest -run '^$' -bench Readable -benchtime 500x
func BenchmarkReadable(b *testing.B) {
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		broker, err := local.Open(b.Context(), local.Options{Dir: b.TempDir(), Address: "127.0.0.1:0"})
		require.NoError(b, err)
		defer broker.Close()
		brokers = broker.Address()
	}
	f := newFleet(b, brokers)
	api, worker := f.API("THROTTLE_RATE=off", "THROTTLE_STAFF_RATE=off"), f.Worker()
	Until(b, func() error {
		if n := worker.Has("contact-created"); n == 0 {
			return fmt.Errorf("the worker has no partitions")
		}
		return nil
	})
	api.Readable("/contacts", api.Post("/contacts", AContact).ID)
	var took []float64
	for b.Loop() {
		id := api.Post("/contacts", AContact).ID
		begun := time.Now()
		for !found(b, api.URL+"/contacts/"+id) {
			time.Sleep(time.Millisecond) // asked without a pause, the API takes the processors that the others need
		}
		took = append(took, time.Since(begun).Seconds()*1e3)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op") // with the POST: says nothing
	b.ReportMetric(took[len(took)/2], "p50-ms")
	b.ReportMetric(took[len(took)*99/100], "p99-ms")
}

func found(b *testing.B, url string) bool {
	answer, err := http.Get(url)
	require.NoError(b, err)
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(b, err)
	return answer.StatusCode == http.StatusOK
}
