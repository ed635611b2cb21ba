package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// toTopic is an event that goes to a test's topic.
type toTopic struct {
	events.Any
	topic, key, value string
}

func (e toTopic) Topic() string           { return e.topic }
func (e toTopic) Key() string             { return e.key }
func (e toTopic) EventID() string         { return "id-" + e.key }
func (e toTopic) Encode() ([]byte, error) { return []byte(e.value), nil }

func publisher(t *testing.T, cluster settings.Kafka) *kafka.Publisher {
	p, err := kafka.NewPublisher(cluster, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { closeSoon(p) })
	return p
}

func closeSoon(p *kafka.Publisher) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.Close(ctx)
}

func TestPublishReturnsThePosition(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(6)
		p := publisher(t, b.Kafka)
		positions := map[string]string{}
		for i := range 50 {
			at, err := p.Publish(t.Context(), toTopic{nil, b.topic, fmt.Sprintf("k%d", i%20), fmt.Sprintf("v%d", i)})
			require.NoError(t, err)
			assert.Equal(t, b.topic, at.Topic)
			positions[fmt.Sprintf("v%d", i)] = fmt.Sprintf("%d@%d", at.Offset, at.Partition)
		}
		for _, r := range b.read(b.topic, 50) {
			assert.Equal(t, positions[string(r.Value)], fmt.Sprintf("%d@%d", r.Offset, r.Partition))
			assert.Zero(t, r.Attrs.CompressionType(), "kafkajs cannot read snappy")
		}
	})
}

// The partitions that Java's DefaultPartitioner and kafkajs's choose of six: (murmur2(key) & 0x7fffffff) % 6. The hashes
// are those of Kafka's own UtilsTest.
func TestKeysGoWhereJavaAndKafkajsSendThem(t *testing.T) {
	b := fake(t)
	b.create(6)
	p := publisher(t, b.Kafka)
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		at, err := p.Publish(t.Context(), toTopic{nil, b.topic, key, "v"})
		require.NoError(t, err)
		assert.Equal(t, (hash&0x7fffffff)%6, at.Partition, key)
	}
}

func TestPublishWithoutAnAnswerIsUnavailableWithinTheBound(t *testing.T) {
	t.Parallel()
	b, network := fakeWithNetwork(t)
	b.create(1)
	p := publisher(t, b.Kafka)
	_, err := p.Publish(t.Context(), toTopic{nil, b.topic, "a", "v"})
	require.NoError(t, err)

	network.set(true, false, false)
	_, err = p.Publish(t.Context(), toTopic{nil, b.topic, "b", "v"})
	unconfirmed(t, err, "id-b")

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = p.Publish(ctx, toTopic{nil, b.topic, "c", "v"})
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	network.set(false, false, false) // the records are written after all
	assert.Len(t, b.read(b.topic, 3), 3)
}

func TestPublishIsRefusedAtOnceWhenTooManyWait(t *testing.T) {
	t.Parallel()
	b, network := fakeWithNetwork(t)
	b.create(1)
	p := publisher(t, b.Kafka)
	network.set(true, false, false)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	large := strings.Repeat("x", 1<<20)
	for range 64 {
		_, err := p.Publish(gone, toTopic{nil, b.topic, "a", large[:1_048_000]})
		require.Equal(t, events.Unavailable, events.KindOf(err))
	}
	_, err := p.Publish(t.Context(), toTopic{nil, b.topic, "a", large[:1_048_000]})
	assert.ErrorIs(t, err, kgo.ErrMaxBuffered)
	unconfirmed(t, err, "id-a")
}

// unconfirmed checks that the error leaves open whether the event was written, so that it can be published again under its id.
func unconfirmed(t *testing.T, err error, id string) {
	t.Helper()
	var e *events.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, events.Unavailable, e.Kind)
	assert.Equal(t, id, e.EventID)
	assert.Contains(t, e.Message, "may have been written")
}

// If the client gives up on a record in flight, it is unknown whether the record was written.
func TestCloseLeavesRecordsInFlightUnknown(t *testing.T) {
	t.Parallel()
	b, network := fakeWithNetwork(t)
	b.create(1)
	p := publisher(t, b.Kafka)
	_, err := p.Publish(t.Context(), toTopic{nil, b.topic, "a", "v"})
	require.NoError(t, err)
	network.set(true, false, false)
	sent := p.Send(t.Context(), toTopic{nil, b.topic, "b", "v"})
	now, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Close(now), context.Canceled)
	_, err = sent(t.Context())
	unconfirmed(t, err, "id-b")
}

func TestPublishAfterClose(t *testing.T) {
	p := publisher(t, settings.Kafka{Brokers: []string{"127.0.0.1:1"}})
	require.NoError(t, p.Close(t.Context()))
	_, err := p.Publish(t.Context(), toTopic{nil, "t", "k", "v"})
	unconfirmed(t, err, "id-k")
}

func TestPublishOfATooLargeEventIsInvalid(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		p := publisher(t, b.Kafka)
		_, err := p.Publish(t.Context(), toTopic{nil, b.topic, "a", strings.Repeat("x", 2<<20)})
		assert.Equal(t, events.Invalid, events.KindOf(err))
		_, err = p.Publish(t.Context(), toTopic{nil, b.topic, "a", strings.Repeat("x", 1_048_400)})
		assert.NoError(t, err, "a batch of Kafka's default size")
	})
}

// A batch whose acknowledgement is lost is written once.
func TestPublishWritesOnceDespiteRetries(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 2}) // it was written
	p := publisher(t, b.Kafka)
	for i := range 5 {
		_, err := p.Publish(t.Context(), toTopic{nil, b.topic, "a", fmt.Sprint(i)})
		require.NoError(t, err)
	}
	assert.Len(t, b.read(b.topic, 5), 5)
}

// A connection that died silently, for example in a firewall that dropped its state, is replaced after 5 s.
func TestPublishRecoversFromADeadConnection(t *testing.T) {
	t.Parallel()
	b, network := fakeWithNetwork(t)
	b.create(1)
	p := publisher(t, b.Kafka)
	event := toTopic{nil, b.topic, "k", "v"}
	_, err := p.Publish(t.Context(), event)
	require.NoError(t, err)
	network.set(false, false, true)
	require.Eventually(t, func() bool {
		_, err := p.Publish(t.Context(), event)
		return err == nil
	}, 2*waitTimeout, time.Millisecond)
}

// A record that the client gave up after it was written, and that its caller does not wait for any more, must not make the
// brokers take the next one for its repeat: that one would be acknowledged, with the offset of the other, and never written.
func TestRecordAfterAnAbandonedOneIsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		abandon time.Duration
		gone    bool // the caller
	}{{"after the delivery timeout", time.Second, false}, {"after the caller has gone", time.Minute, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, network := fakeWithNetwork(t)
			b.create(1)
			p, err := kafka.NewPublisherThatAbandons(b.Kafka, c.abandon)
			require.NoError(t, err)
			t.Cleanup(func() { closeSoon(p) })
			_, err = p.Publish(t.Context(), toTopic{nil, b.topic, "first", "v"})
			require.NoError(t, err)
			network.mute(true)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sent := p.Send(ctx, toTopic{nil, b.topic, "lost", "v"})
			eventually(t, func() bool { return b.fake.PartitionInfo(b.topic, 0).HighWatermark == 2 })
			moving := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: -1})
			network.set(false, true, false)
			network.mute(false)
			network.set(false, false, false)
			require.NoError(t, moving.Wait(within(t), 1))
			if c.gone {
				cancel()
			}
			_, err = sent(ctx)
			require.Equal(t, events.Unavailable, events.KindOf(err))
			assert.Equal(t, !c.gone, errors.Is(err, kgo.ErrRecordTimeout), "%v", err)
			next := p.Send(t.Context(), toTopic{nil, b.topic, "next", "v"})
			moving.Remove()
			at, err := next(t.Context())
			require.NoError(t, err)
			_, err = p.Publish(t.Context(), toTopic{nil, b.topic, "last", "v"})
			require.NoError(t, err)
			keys := map[string]int{}
			for _, r := range b.read(b.topic, int(b.end())) {
				keys[string(r.Key)]++
				if r.Offset == at.Offset {
					assert.Equal(t, "next", string(r.Key), "the offset of another record is acknowledged")
				}
			}
			assert.Equal(t, map[string]int{"first": 1, "lost": 1, "next": 1, "last": 1}, keys)
		})
	}
}

// Leaders that change while events are published make none of them appear twice, and each where it was acknowledged.
func TestPublishWritesOnceWhileLeadersChange(t *testing.T) {
	onCluster(t, func(t *testing.T, b *broker) {
		const writers = 4
		b.create(1)
		p := publisher(t, b.Kafka)
		var moved atomic.Bool
		defer moved.Store(true)
		var writing sync.WaitGroup
		var mu sync.Mutex
		acknowledged := map[string]int64{}
		var published atomic.Int32
		for w := range writers {
			writing.Go(func() {
				for n := 0; !moved.Load(); n++ {
					key := fmt.Sprintf("%d-%d", w, n)
					at, err := p.Publish(t.Context(), toTopic{nil, b.topic, key, "v"})
					published.Add(1)
					mu.Lock()
					if err == nil {
						acknowledged[key] = at.Offset
					} else { // an election may take longer than a publish
						assert.Equal(t, events.Unavailable, events.KindOf(err))
					}
					mu.Unlock()
				}
			})
		}
		for range 4 {
			before := published.Load()
			eventually(t, func() bool { return published.Load() > before+10*writers })
			if b.fake != nil { // the old leader writes one more, and its answer is lost
				unanswered := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 1})
				require.NoError(t, unanswered.Wait(within(t), 1))
			}
			b.moveLeader()
		}
		moved.Store(true)
		writing.Wait()
		require.NotEmpty(t, acknowledged)
		found := map[string]bool{}
		for _, r := range b.read(b.topic, int(b.end())) {
			key := string(r.Key)
			assert.False(t, found[key], "%s is there twice", key)
			found[key] = true
			if at, ok := acknowledged[key]; ok {
				assert.Equal(t, at, r.Offset, key)
				delete(acknowledged, key)
			}
		}
		assert.Empty(t, acknowledged, "they are lost")
	})
}

// A client that is refused a producer id keeps the error; the right may be granted later.
func TestPublishAfterAProducerIDWasRefused(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.fake.ControlKey(int16(kmsg.InitProducerID), func(request kmsg.Request) (kmsg.Response, error, bool) { // once
		refusal := request.ResponseKind().(*kmsg.InitProducerIDResponse)
		refusal.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return refusal, nil, true
	})
	p := publisher(t, b.Kafka)
	_, err := p.Publish(t.Context(), toTopic{nil, b.topic, "a", "v"})
	require.ErrorIs(t, err, kerr.ClusterAuthorizationFailed)
	_, err = p.Publish(t.Context(), toTopic{nil, b.topic, "b", "v"})
	require.NoError(t, err)
	assert.Len(t, b.read(b.topic, 1), 1)
}
