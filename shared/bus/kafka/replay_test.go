package kafka_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// discarded counts the records that a replay rejects.
type discarded struct {
	mu      sync.Mutex
	offsets []int64
}

func (d *discarded) Write(_ context.Context, l bus.DeadLetter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offsets = append(d.offsets, l.Record.Offset)
	return nil
}

func (b *broker) replay(ctx context.Context, o kafka.ReplayOptions, handle bus.Handler[step]) error {
	c := bus.NewConsumer(b.group, handle)
	c.Topic = b.topic
	o.Logger = slog.New(slog.DiscardHandler)
	if o.DeadLetters == nil {
		o.DeadLetters = &discarded{}
	}
	if o.Advance == nil {
		o.Advance = func(context.Context, string, map[int32]int64, map[int32]int64) error { return nil }
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	return kafka.Replay(ctx, b.Kafka, c, o)
}

func TestReplayEndsAtTheOffsetsOfItsStart(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(1, "b", 1), moved(0, "a", 2), &kgo.Record{Value: []byte("no event"), Partition: 1})
		d, rejected := newDiary(t), &discarded{}
		spans := map[int32][2]int64{}
		var handled, all int64
		require.NoError(t, b.replay(t.Context(), kafka.ReplayOptions{
			DeadLetters: rejected,
			Advance: func(_ context.Context, _ string, from, to map[int32]int64) error {
				for n := range to {
					assert.Equal(t, spans[n][1], from[n])
					spans[n] = [2]int64{from[n], to[n]}
				}
				return nil
			},
			Progress: func(h, a int64) { handled, all = h, a },
		}, d.handler))
		d.waitFor(map[string]int{"a": 2, "b": 1})
		assert.Equal(t, []int64{1}, rejected.offsets)
		assert.EqualValues(t, 2, spans[0][1])
		assert.EqualValues(t, 2, spans[1][1])
		assert.Equal(t, [2]int64{4, 4}, [2]int64{handled, all})
		groups, err := b.admin.ListGroups(t.Context())
		require.NoError(t, err)
		assert.NotContains(t, groups.Groups(), b.group, "it joins no group")
	})
}

func TestReplayShowsProgressWithinAPoll(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		for n := range 30 {
			b.write(moved(0, "a", n+1))
		}
		between := false
		require.NoError(t, b.replay(t.Context(), kafka.ReplayOptions{
			Delivery: bus.Options{MaxBuffered: 1},
			Progress: func(handled, all int64) { between = between || 0 < handled && handled < all },
		}, func(context.Context, events.Event[step]) error { time.Sleep(50 * time.Millisecond); return nil }))
		assert.True(t, between)
	})
}

func TestReplayBeginsAtFrom(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3))
		d := newDiary(t)
		d.last["a"] = 2
		require.NoError(t, b.replay(t.Context(), kafka.ReplayOptions{From: map[int32]int64{0: 2}}, d.handler))
		assert.Equal(t, []string{"a-3"}, d.done)
		require.NoError(t, b.replay(t.Context(), kafka.ReplayOptions{From: map[int32]int64{0: 3}}, d.handler), "nothing is left")
		for n, at := range []int64{4, 1} { // of another topic of that name
			err := b.replay(t.Context(), kafka.ReplayOptions{From: map[int32]int64{int32(n): at}}, d.handler)
			require.ErrorContains(t, err, "the topic was deleted and created again")
		}
	})
}

func TestReplayFollowsUntilCancelled(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1))
		d := newDiary(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.replay(ctx, kafka.ReplayOptions{Follow: true}, d.handler) }()
		d.waitFor(map[string]int{"a": 1})
		b.write(moved(0, "a", 2))
		d.waitFor(map[string]int{"a": 2})
		cancel()
		require.NoError(t, <-ended)

		stopped, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.replay(stopped, kafka.ReplayOptions{}, d.handler), context.Canceled)
	})
}

// The last offsets of a partition may be markers of transactions and aborted records.
func TestReplayEndsBehindTransactions(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		_, write := b.transactional()
		write(kgo.TryCommit, moved(0, "a", 1))
		write(kgo.TryAbort, moved(0, "a", 2))
		b.settled()
		d := newDiary(t)
		last := int64(0)
		require.NoError(t, b.replay(t.Context(), kafka.ReplayOptions{Advance: func(_ context.Context, _ string, _,
			to map[int32]int64) error {
			last = to[0]
			return nil
		}}, d.handler))
		assert.Equal(t, []string{"a-1"}, d.done)
		assert.EqualValues(t, 4, last)
	})
}

// Brokers take negative times for other requests: -1 for that of the end.
func TestOffsetsOfATimeBeforeAllOthersAreTheFirst(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1))
		for _, milli := range []int64{-1, -1 << 40} {
			at, err := kafka.Offsets(t.Context(), b.Kafka, b.topic, kafka.Point{Time: time.UnixMilli(milli)})
			require.NoError(t, err)
			assert.Equal(t, map[int32]int64{0: 0}, at)
		}
	})
}
