package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkConsume measures the worker's overhead: a kafka.Member (typed decoding, dispatch to a handler that does
// nothing, commits) beside a hand-written loop with the same client: a goroutine per partition, the same decoder, a
// commit every second. Both read the same topic of six partitions, in turn, each time in a new group. "ratio" is
// Consume's best speed divided by the loop's, "cpu-ratio" the loop's processor time divided by Consume's. The broker is
// an embedded one in a process of its own, or that of KAFKA_BROKERS. With KAFKAJS, the folder shared/proof/program/kafkajs after
// `npm ci` there, kafkajs reads the topic too, by batches; "kafkajs-x" is Consume's best speed divided by its best.
//
//	go test ./shared/proof/bench -run '^$' -bench Consume -cpu 2 -benchtime 5x
func BenchmarkConsume(b *testing.B) {
	const partitions, total = 6, 200_000
	cluster := brokerAlone(b)
	topic := fillTopic(b, cluster, partitions, total)
	var byHand, byConsume, byKafkaJS measure
	scripts := os.Getenv("KAFKAJS")
	for b.Loop() {
		byHand.of(func() { consumeByHand(b, cluster, topic, total) })
		byConsume.of(func() { consume(b, cluster, topic, total) })
		if scripts != "" {
			byKafkaJS.took(consumeByKafkaJS(b, scripts, cluster, topic, total))
		}
	}
	b.ReportMetric(0, "ns/op") // of both together: meaningless
	b.ReportMetric(total/byHand.best.Seconds(), "loop-events/s")
	b.ReportMetric(total/byConsume.best.Seconds(), "consume-events/s")
	b.ReportMetric(float64(byHand.best)/float64(byConsume.best), "ratio")
	b.ReportMetric(float64(byHand.cpu)/float64(byConsume.cpu), "cpu-ratio")
	if scripts != "" {
		b.ReportMetric(total/byKafkaJS.best.Seconds(), "kafkajs-events/s")
		b.ReportMetric(float64(byKafkaJS.best)/float64(byConsume.best), "kafkajs-x")
	}
}

// fillTopic makes a topic with that many request-created events, all different.
func fillTopic(b *testing.B, cluster settings.Kafka, partitions int32, total int) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	defer client.Close()
	topic := "bench-" + uuid.NewString()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(b.Context(), partitions, 1, nil, topic)
	require.NoError(b, err)
	b.Cleanup(func() {
		if client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...)); err == nil {
			defer client.Close()
			_, _ = kadm.NewClient(client).DeleteTopic(context.Background(), topic)
		}
	})
	for i := range total {
		e, err := events.New(events.RequestCreated{Request: events.Request{
			Name: fmt.Sprintf("Grace Hopper %d", i), Email: fmt.Sprintf("grace%d@example.com", i), Phone: "+1 (212) 555-0142",
			Address: fmt.Sprintf("%d Harbor Way", i), City: []string{"New York", "Berlin", "São Paulo"}[i%3], Country: "USA",
			DrinksList: []string{"Espresso", "Mate", "Ginger ale", "Cocoa"}[:1+i%4],
		}})
		require.NoError(b, err)
		value, err := e.Encode()
		require.NoError(b, err)
		client.Produce(b.Context(), &kgo.Record{Topic: topic, Key: []byte(e.Key()), Value: value}, nil)
	}
	require.NoError(b, client.Flush(b.Context()))
	return topic
}

func consume(b *testing.B, cluster settings.Kafka, topic string, total int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var seen atomic.Int64
	c := bus.NewConsumer("bench-"+uuid.NewString(), func(context.Context, events.Event[events.RequestCreated]) error {
		if seen.Add(1) == int64(total) {
			cancel()
		}
		return nil
	})
	c.Topic = topic
	require.NoError(b, kafka.NewMember(cluster, c, kafka.Options{Logger: slog.New(slog.DiscardHandler)}).Run(ctx))
	require.EqualValues(b, total, seen.Load())
}

func consumeByHand(b *testing.B, cluster settings.Kafka, topic string, total int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var seen atomic.Int64
	handle := func(context.Context, events.Event[events.RequestCreated]) error {
		if seen.Add(1) == int64(total) {
			cancel()
		}
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.ConsumerGroup("bench-"+uuid.NewString()),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second), kgo.FetchMaxBytes(8<<20), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(b, err)
	defer client.Close()
	var running sync.WaitGroup
	defer running.Wait()
	queues := map[int32]chan []*kgo.Record{}
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachPartition(func(fetched kgo.FetchTopicPartition) {
			queue := queues[fetched.Partition]
			if queue == nil {
				queue = make(chan []*kgo.Record, 1)
				queues[fetched.Partition] = queue
				running.Go(func() {
					for records := range queue {
						for _, r := range records {
							e, err := events.Decode[events.RequestCreated](r.Value)
							if err != nil || handle(ctx, e) != nil {
								b.Error(err)
							}
						}
						client.MarkCommitRecords(records...)
					}
				})
			}
			queue <- fetched.Records
		})
	}
	for _, queue := range queues {
		close(queue)
	}
	running.Wait()
	require.EqualValues(b, total, seen.Load())
}

// consumeByKafkaJS returns how long kafkajs took, without the start of Node.
func consumeByKafkaJS(b *testing.B, scripts string, cluster settings.Kafka, topic string, total int) time.Duration {
	node := exec.CommandContext(b.Context(), "node", "drain.js", strings.Join(cluster.Brokers, ","), "bench-"+uuid.NewString(),
		topic, strconv.Itoa(total))
	node.Dir, node.Stderr = scripts, os.Stderr
	out, err := node.Output()
	require.NoError(b, err)
	took, err := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(b, err)
	return time.Duration(took) * time.Millisecond
}

// measure is the best time and the sum of the processor time of several runs.
type measure struct{ best, cpu time.Duration }

func (m *measure) of(run func()) {
	runtime.GC()
	began, beganCPU := time.Now(), cpuTime()
	run()
	m.took(time.Since(began))
	m.cpu += cpuTime() - beganCPU
}

func (m *measure) took(took time.Duration) {
	if m.best == 0 || took < m.best {
		m.best = took
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
