package kafka_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type event = events.Event[step]

// handler records every event.
func (d *diary) handler(_ context.Context, e event) error {
	d.add(e.Data)
	return nil
}

func TestGroupBeginsAtTheEarliestRecordAndResumesAtItsCommit(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(1, "b", 1), moved(0, "a", 2))
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 2, "b": 1})
		require.NoError(t, w.end())
		assert.EqualValues(t, 2, b.committed(0))
		assert.EqualValues(t, 1, b.committed(1))

		b.write(moved(0, "a", 3))
		w = b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, w.end())
		assert.Zero(t, d.repeats)
	})
}

// A running worker consumes partitions that are added to its topic.
func TestPartitionsAddedLaterAreConsumed(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1))
		d := newDiary(t)
		w := b.consume(kafka.Options{MetadataAge: 100 * time.Millisecond}, d.handler)
		d.waitFor(map[string]int{"a": 1})
		_, err := b.admin.UpdatePartitions(t.Context(), 2, b.topic)
		require.NoError(t, err)
		later := connect(t, b.Brokers) // a publisher that came later
		later.topic = b.topic
		later.write(moved(1, "b", 1))
		d.waitFor(map[string]int{"b": 1})
		require.NoError(t, w.end())
	})
}

// Offsets count whichever program committed them: the TypeScript app's groups resume here.
func TestResumesAtOffsetsCommittedByAnotherProgram(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3))
		offsets := kadm.Offsets{}
		offsets.AddOffset(b.topic, 0, 2, -1)
		require.NoError(t, b.admin.CommitAllOffsets(t.Context(), b.group, offsets))
		d := newDiary(t)
		d.last["a"] = 2
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, w.end())
		assert.Equal(t, []string{"a-3"}, d.done)
	})
}

// While one key is stuck, other keys proceed, the committed offset stays before the stuck event, and after a bound the
// partition pauses. Other partitions proceed all the time.
func TestStuckKeyPausesItsPartitionOnly(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const ahead, total = 50, 500
		b.create(2)
		records := []*kgo.Record{moved(0, "stuck", 1)}
		for n := 1; n <= total; n++ {
			records = append(records, moved(0, "free", n), moved(1, "other", n))
		}
		for len(records) > 0 { // batches smaller than the bound, so that there is something to hold back
			n := min(40, len(records))
			b.write(records[:n]...)
			records = records[n:]
		}
		d := newDiary(t)
		var open atomic.Bool
		w := b.consume(kafka.Options{Delivery: bus.Options{MaxBuffered: ahead, MinBackoff: time.Millisecond,
			MaxBackoff: 10 * time.Millisecond}},
			func(ctx context.Context, e event) error {
				if e.Data.ID == "stuck" && !open.Load() {
					return events.Errorf(events.Unavailable, "later")
				}
				return d.handler(ctx, e)
			})
		d.waitFor(map[string]int{"other": total, "free": ahead - 1})
		assert.EqualValues(t, -1, b.committed(0))
		b.write(moved(1, "other", total+1))
		d.waitFor(map[string]int{"other": total + 1})
		open.Store(true)
		d.waitFor(map[string]int{"stuck": 1, "free": total})
		require.NoError(t, w.end())
		assert.EqualValues(t, total+1, b.committed(0))
		assert.Zero(t, d.repeats)
	})
}

func TestUndecodableAndRefusedBecomeDeadLetters(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1), &kgo.Record{Key: []byte("a"), Value: []byte("?")}, moved(0, "a", 2),
			&kgo.Record{Key: []byte("a")}, moved(0, "refused", 1), moved(0, "a", 3))
		d := newDiary(t)
		w := b.consume(kafka.Options{}, func(ctx context.Context, e event) error {
			if e.Data.ID == "refused" {
				return events.Errorf(events.Invalid, "no")
			}
			return d.handler(ctx, e)
		})
		d.waitFor(map[string]int{"a": 3})
		deadLetters := b.read(bus.DeadLetterTopic(b.topic), 3)
		require.NoError(t, w.end())
		assert.EqualValues(t, 6, b.committed(0))
		classes := map[string]int{}
		for _, deadLetter := range deadLetters {
			for _, h := range deadLetter.Headers {
				if h.Key == bus.HeaderClass {
					classes[string(h.Value)]++
				}
			}
		}
		assert.Equal(t, map[string]int{"undecodable": 2, "refused": 1}, classes)
	})
}

func TestShutdownFinishesRunningHandlersAndLeavesTheGroup(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2))
		d := newDiary(t)
		running, finish := make(chan struct{}, 1), make(chan struct{})
		w := b.consume(kafka.Options{SessionTimeout: time.Minute}, func(ctx context.Context, e event) error {
			running <- struct{}{}
			<-finish
			return d.handler(ctx, e)
		})
		<-running
		w.stop()
		time.AfterFunc(50*time.Millisecond, func() { close(finish) })
		require.NoError(t, w.wait())
		assert.Equal(t, []string{"a-1"}, d.done)
		assert.EqualValues(t, 1, b.committed(0))

		groups, err := b.admin.DescribeGroups(t.Context(), b.group)
		require.NoError(t, err)
		assert.Empty(t, groups[b.group].Members)
		w = b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 2})
		require.NoError(t, w.end())
		assert.Zero(t, d.repeats)
	})
}

func TestShutdownAbandonsSlowHandlers(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1))
		running := make(chan struct{})
		w := b.consume(kafka.Options{StopTimeout: 200 * time.Millisecond}, func(ctx context.Context, _ event) error {
			close(running)
			<-ctx.Done()
			return ctx.Err()
		})
		<-running
		require.NoError(t, w.end())
		assert.EqualValues(t, -1, b.committed(0), "it will be done again")
	})
}

func TestShutdownWhileNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	b, broker := fakeWithSilence(t)
	b.create(1)
	b.write(moved(0, "a", 1))
	d := newDiary(t)
	w := b.consume(kafka.Options{StopTimeout: 600 * time.Millisecond, CommitInterval: time.Hour}, d.handler)
	d.waitFor(map[string]int{"a": 1})
	broker.set(true)
	require.NoError(t, w.end())
}

// The worker stays in the group, so that no other member gets the key while that handler runs.
func TestHandlerThatIgnoresItsDeadlineEndsConsume(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.write(moved(0, "a", 1))
	finish := make(chan struct{})
	defer close(finish)
	w := b.consume(kafka.Options{Delivery: bus.Options{HandlerTimeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond}},
		func(context.Context, event) error { <-finish; return nil })
	err := w.wait()
	require.ErrorContains(t, err, "a-1")
	require.ErrorContains(t, err, b.group)
	info := b.fake.GroupInfo(b.group)
	assert.Len(t, info.Members, 1)
	assert.EqualValues(t, -1, b.committed(0))
}

func many(partitions, keys, each int) (records []*kgo.Record, steps map[string]int) {
	steps = map[string]int{}
	for n := 1; n <= each; n++ {
		for k := range keys {
			id := fmt.Sprintf("k%d", k)
			records = append(records, moved(int32(k%partitions), id, n))
			steps[id] = n
		}
	}
	return records, steps
}
