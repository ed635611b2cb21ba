package kafka_test

import (
	"context"
	"errors"
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
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// waitTimeout is how long a test waits for an expected state.
const waitTimeout = time.Minute

var discard = slog.New(slog.DiscardHandler)

// TestMain runs more tests side by side than there are CPUs: most of them wait for timeouts of Kafka's protocol.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "24") // the command line overrides it
	m.Run()
}

// onBrokers runs a test on kfake, and on the Kafka at KAFKA_BROKERS if that is set, beside other tests.
func onBrokers(t *testing.T, test func(t *testing.T, b *broker)) {
	t.Parallel()
	for _, name := range []string{"kfake", "kafka"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, onBroker(t, name))
		})
	}
}

func onBroker(t *testing.T, name string) *broker {
	if name == "kfake" {
		return fake(t)
	}
	return connectTo(t, "KAFKA_BROKERS", os.Getenv("KAFKA_BROKERS"))
}

// connectTo connects to the Kafka that a setting names.
func connectTo(t *testing.T, setting, brokers string) *broker {
	if brokers == "" {
		t.Skip("set " + setting + "=host:port,… to the brokers of a Kafka that may be written to")
	}
	return connect(t, strings.Split(brokers, ","))
}

// broker is a cluster and a client to inspect it.
type broker struct {
	settings.Kafka
	t      *testing.T
	client *kgo.Client
	admin  *kadm.Client
	fake   *kfake.Cluster // nil on real Kafka
	topic  string         // of this test alone
	group  string
}

func fake(t *testing.T, options ...kfake.Opt) *broker {
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, options...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	b := connect(t, cluster.ListenAddrs())
	b.fake = cluster
	return b
}

func connect(t *testing.T, brokers []string) *broker {
	return connectBy(t, settings.Kafka{Brokers: brokers, ServerSide: os.Getenv("KAFKA_GROUP_PROTOCOL") == "consumer"})
}

func connectBy(t *testing.T, cluster settings.Kafka, options ...kgo.Opt) *broker {
	client, err := kafka.NewClient(cluster, discard, append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(4 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.UnknownTopicRetries(50)}, options...)...) // a busy Kafka may take seconds to know a new topic everywhere
	require.NoError(t, err)
	b := &broker{
		Kafka: cluster, t: t, client: client, admin: kadm.NewClient(client),
		topic: "test-" + uuid.NewString(), group: "test-" + uuid.NewString(),
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
		defer cancel()
		if b.fake == nil {
			_, _ = b.admin.DeleteTopics(ctx, b.topic, bus.DeadLetterTopic(b.topic))
		}
		client.Close()
	})
	return b
}

// create makes the test's topic and its dead-letter topic, as Topics declares them.
func (b *broker) create(partitions int32) {
	b.t.Helper()
	_, err := kafka.MakeTopics(b.t.Context(), b.Kafka,
		kafka.Topics(events.Definition{Topic: b.topic, Partitions: partitions, Retention: events.Forever})...)
	require.NoError(b.t, err)
}

// write writes records, to the partitions that they name.
func (b *broker) write(records ...*kgo.Record) {
	b.t.Helper()
	for _, r := range records {
		if r.Topic == "" {
			r.Topic = b.topic
		}
	}
	require.NoError(b.t, b.client.ProduceSync(b.t.Context(), records...).FirstErr())
}

// transactional returns a producer's client, and a function that writes records in a transaction of it.
func (b *broker) transactional(options ...kgo.Opt) (*kgo.Client, func(end kgo.TransactionEndTry, records ...*kgo.Record)) {
	b.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Brokers...), kgo.TransactionalID(b.topic),
		kgo.DefaultProduceTopic(b.topic), kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	return client, func(end kgo.TransactionEndTry, records ...*kgo.Record) {
		b.t.Helper()
		require.NoError(b.t, client.BeginTransaction())
		require.NoError(b.t, client.ProduceSync(b.t.Context(), records...).FirstErr())
		require.NoError(b.t, client.EndTransaction(b.t.Context(), end))
	}
}

// removeMember removes a member from the test's group, as the brokers do when its session has expired.
func (b *broker) removeMember(id string) {
	b.t.Helper()
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = b.group, []kmsg.LeaveGroupRequestMember{{MemberID: id}}
	_, err := leave.RequestWith(b.t.Context(), b.client)
	require.NoError(b.t, err)
}

// settled waits until all of partition 0 can be read: Kafka writes the markers of a transaction after it has answered.
func (b *broker) settled() {
	b.t.Helper()
	eventually(b.t, func() bool {
		readable, err := b.admin.ListCommittedOffsets(b.t.Context(), b.topic)
		require.NoError(b.t, err)
		ends, err := b.admin.ListEndOffsets(b.t.Context(), b.topic)
		require.NoError(b.t, err)
		return readable[b.topic][0].Offset == ends[b.topic][0].Offset
	})
}

// read reads so many records of a topic from its start.
func (b *broker) read(topic string, n int) []*kgo.Record {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Brokers...), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(100*time.Millisecond))
	require.NoError(b.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), waitTimeout)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(b.t, ctx.Err(), "%d of %d records on %s", len(records), n, topic)
		records = append(records, fetches.Records()...)
	}
	return records
}

// end is the offset behind the last record of partition 0.
func (b *broker) end() int64 {
	b.t.Helper()
	ends, err := b.admin.ListEndOffsets(b.t.Context(), b.topic)
	require.NoError(b.t, err)
	end, _ := ends.Lookup(b.topic, 0)
	return end.Offset
}

// committed is the group's offset in a partition; -1 = none.
func (b *broker) committed(partition int32) int64 {
	b.t.Helper()
	offsets, err := b.admin.FetchOffsets(b.t.Context(), b.group)
	if !errors.Is(err, kerr.GroupIDNotFound) {
		require.NoError(b.t, err)
	}
	if o, ok := offsets.Lookup(b.topic, partition); ok {
		return o.At
	}
	return -1
}

// step is a numbered event about a subject, so that the order shows.
type step struct {
	events.Base
	Seq int `json:"seq"`
}

func (step) Topic() string { return "step" }

type event = events.Event[step]

// moved is the record of step n of a subject.
func moved(partition int32, id string, n int) *kgo.Record {
	return &kgo.Record{Partition: partition, Key: []byte(id), Value: fmt.Appendf(nil,
		`{"eventId":"%s-%d","eventType":"step","data":{"id":%q,"seq":%d}}`, id, n, id, n)}
}

// diary records what the workers of a group did.
type diary struct {
	t  *testing.T
	mu sync.Mutex

	done    []string
	last    map[string]int // by key
	repeats int            // events done again
}

func newDiary(t *testing.T) *diary { return &diary{t: t, last: map[string]int{}} }

// handler records a step, which must be the next of its key or a repeat.
func (d *diary) handler(_ context.Context, e event) error {
	s := e.Data
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = append(d.done, fmt.Sprintf("%s-%d", s.ID, s.Seq))
	switch {
	case s.Seq == d.last[s.ID]+1:
		d.last[s.ID]++
	case s.Seq <= d.last[s.ID]:
		d.repeats++
	default:
		d.t.Errorf("%s: step %d came after step %d", s.ID, s.Seq, d.last[s.ID])
		d.last[s.ID] = s.Seq
	}
	return nil
}

// waitFor waits until all steps of each subject were done.
func (d *diary) waitFor(steps map[string]int) {
	d.t.Helper()
	eventually(d.t, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for id, n := range steps {
			if d.last[id] < n {
				return false
			}
		}
		return true
	})
}

// within is a context that ends when an expected state is overdue.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for an expected state.
func eventually(t *testing.T, met func() bool) {
	t.Helper()
	require.Eventually(t, met, waitTimeout, 2*time.Millisecond)
}

// worker is a running member.
type worker struct {
	*kafka.Member
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
}

// consume starts a worker of the test's group on the test's topic.
func (b *broker) consume(o kafka.Options, handle func(context.Context, event) error) *worker {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	c := bus.NewConsumer(b.group, handle)
	c.Topic = b.topic
	if o.Logger == nil {
		o.Logger = discard
	}
	if o.DeadLetters == nil {
		deadLetters, err := kafka.NewDeadLetters(b.Kafka, discard)
		require.NoError(b.t, err)
		b.t.Cleanup(deadLetters.Close)
		o.DeadLetters = deadLetters
	}
	w := &worker{kafka.NewMember(b.Kafka, c, o), b.t, cancel, make(chan error, 1)}
	go func() { w.ended <- w.Run(ctx) }()
	return w
}

// waitFor waits until the worker has n partitions.
func (w *worker) waitFor(n int) {
	w.t.Helper()
	eventually(w.t, func() bool { return len(w.Status().Partitions) == n })
}

// end ends the worker and returns what Run returned.
func (w *worker) end() error {
	w.t.Helper()
	w.stop()
	return w.wait()
}

func (w *worker) wait() error {
	w.t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(waitTimeout):
		w.t.Fatal("Run did not return")
		return nil
	}
}
