package deadletters_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// waitTimeout is how long a test waits for an expected state.
const waitTimeout = time.Minute

// TestMain runs more tests side by side than there are CPUs: most of them wait for members that join and leave.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "16") // the command line overrides it
	m.Run()
}

// ofKafka is held by the test that uses KAFKA_BROKERS: redrives on one cluster end each other.
var ofKafka sync.Mutex

// onBrokers runs a test on kfake and, if KAFKA_BROKERS is set, on that Kafka.
func onBrokers(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Parallel()
	t.Run("kfake", func(t *testing.T) { test(t, newRig(t, fake(t).ListenAddrs())) })
	t.Run("kafka", func(t *testing.T) {
		brokers := os.Getenv("KAFKA_BROKERS")
		if brokers == "" {
			t.Skip("set KAFKA_BROKERS=host:port to the brokers of a Kafka that may be written to")
		}
		ofKafka.Lock()
		defer ofKafka.Unlock()
		test(t, newRig(t, strings.Split(brokers, ",")))
	})
}

const partitions = 2

func fake(t *testing.T) *kfake.Cluster {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

// rig is a topic that the consumers "a" and "b" read.
type rig struct {
	*deadletters.Client
	t     *testing.T
	kafka *kgo.Client
	topic string
	group map[string]string // by consumer

	mu      sync.Mutex
	faults  map[string]error // of consumer a, by id
	handled map[string][]string
}

// thing is an event of the test.
type thing struct{ events.Base }

func (thing) Topic() string { return "thing" }

func newRig(t *testing.T, brokers []string) *rig {
	id := uuid.NewString()
	r := &rig{t: t, topic: "test-" + id, group: map[string]string{"a": "a-" + id, "b": "b-" + id},
		faults: map[string]error{}, handled: map[string][]string{}}
	r.Client = &deadletters.Client{Cluster: settings.Kafka{Brokers: brokers}, Topics: []string{r.topic},
		Logger: slog.New(slog.DiscardHandler),
		Check: func(ctx context.Context, group string, record bus.Record) error {
			assert.Equal(t, r.group["a"], group)
			return r.consumer("check").Try(ctx, record)
		}}
	var err error
	r.kafka, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(kafka.TopicMaxBytes), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	t.Cleanup(r.kafka.Close)
	_, err = kafka.MakeTopics(t.Context(), r.Cluster,
		kafka.Topics(events.Definition{Topic: r.topic, Partitions: partitions, Retention: events.Forever})...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = kadm.NewClient(r.kafka).DeleteTopics(context.Background(), r.topic, bus.DeadLetterTopic(r.topic))
	})
	return r
}

// consumer returns a consumer. Its name is a, b or check: a fails as r.faults says, check where that is the projection's.
func (r *rig) consumer(name string) bus.Consumer {
	c := bus.NewConsumer(r.group[name], func(_ context.Context, e events.Event[thing]) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		err := r.faults[e.ID]
		if refused := events.KindOf(err) == events.Invalid || events.KindOf(err) == events.Conflict; name == "a" && err != nil ||
			name == "check" && refused {
			return err
		}
		r.handled[name] = append(r.handled[name], e.ID)
		return nil
	})
	c.Topic = r.topic
	return c
}

func (r *rig) fail(err error, ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.faults[id] = err
	}
}

// write writes an event of a subject to partition 0, with a header k=v and more.
func (r *rig) write(id, subject string, more ...kgo.RecordHeader) {
	r.t.Helper()
	require.NoError(r.t, r.kafka.ProduceSync(r.t.Context(), &kgo.Record{Topic: r.topic, Timestamp: written, Key: []byte(subject),
		Value: event(id, subject), Headers: append([]kgo.RecordHeader{{Key: "k", Value: []byte("v")}}, more...)}).FirstErr())
}

// written is when all events are written.
var written = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func event(id, subject string) []byte {
	return fmt.Appendf(nil, `{"eventId":%q,"eventType":"thing","data":{"id":%q}}`, id, subject)
}

// consume runs a consumer until it has handled all that there is.
func (r *rig) consume(names ...string) {
	r.t.Helper()
	for _, name := range names {
		ctx, stop := context.WithTimeout(r.t.Context(), waitTimeout)
		defer stop()
		rejected, err := kafka.NewDeadLetters(r.Cluster, r.Logger)
		require.NoError(r.t, err)
		defer rejected.Close()
		ended := make(chan error, 1)
		member := kafka.NewMember(r.Cluster, r.consumer(name), kafka.Options{Logger: r.Logger, DeadLetters: rejected,
			Delivery: bus.Options{Attempts: 1, StallAfter: 100}})
		go func() { ended <- member.Run(ctx) }()
		require.Eventually(r.t, func() bool {
			lag, err := member.Lag(ctx)
			return err == nil && len(lag) == partitions && lag[0]+lag[1] == 0
		}, waitTimeout, 10*time.Millisecond)
		stop()
		require.NoError(r.t, <-ended)
		groups, err := kafka.Groups(r.t.Context(), r.Cluster, map[string]string{r.group[name]: r.topic})
		require.NoError(r.t, err)
		require.Zero(r.t, groups[0].Lag, "it commits when it stops")
	}
}

// open lists the open rejections as "event redrives".
func (r *rig) open() (open []string) {
	r.t.Helper()
	rejections, err := r.List(r.t.Context(), deadletters.Filter{}, false)
	require.NoError(r.t, err)
	for _, rejection := range rejections {
		open = append(open, fmt.Sprintf("%d/%d %d", rejection.Partition, rejection.Offset, rejection.Redrives))
	}
	return open
}

func (r *rig) preview(o deadletters.PreviewOptions) *deadletters.Preview {
	r.t.Helper()
	p, err := r.Preview(r.t.Context(), deadletters.Filter{}, o)
	require.NoError(r.t, err)
	return p
}

// redrive returns the results in order, joined by spaces.
func (r *rig) redrive(token string) string {
	r.t.Helper()
	results, err := r.try(r.t.Context(), token)
	require.NoError(r.t, err)
	return results
}

func (r *rig) try(ctx context.Context, token string) (string, error) {
	var results []string
	err := r.Act(ctx, deadletters.Redrive, token, deadletters.ActOptions{Who: "me", Report: func(result deadletters.Result) {
		results = append(results, result.Result)
		assert.Equal(r.t, result.Result == "redriven" || result.Why == "already redriven", result.Done, "%v", result)
	}})
	return strings.Join(results, " "), err
}
