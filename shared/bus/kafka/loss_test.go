package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commit commits an offset of partition 0 for the test's group.
func (b *broker) commit(offset int64, epoch int32) {
	b.t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(b.topic, 0, offset, epoch)
	require.NoError(b.t, b.admin.CommitAllOffsets(b.t.Context(), b.group, offsets))
}

// deleteRecords deletes the records of partition 0 before an offset, as retention does.
func (b *broker) deleteRecords(before int64) {
	b.t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(b.topic, 0, before, -1)
	_, err := b.admin.DeleteRecords(b.t.Context(), offsets)
	require.NoError(b.t, err)
}

// groupState is the state of the test's group, as doctor reads it.
func (b *broker) groupState() kafka.GroupState {
	b.t.Helper()
	groups, err := kafka.Groups(b.t.Context(), b.Kafka, map[string]string{b.group: b.topic})
	require.NoError(b.t, err)
	return groups[0]
}

func TestGroupsHaveOwners(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(3)
		b.write(moved(0, "a", 1), moved(2, "b", 1))
		assert.Empty(t, b.groupState().Owners)
		assert.Equal(t, map[int32]int64{0: 1, 1: 0, 2: 1}, b.groupState().Ends)
		b.consume(kafka.Options{}, newDiary(t).handler)
		eventually(t, func() bool { s := b.groupState(); return len(s.Owners) == 1 && len(s.Owners[0].Partitions) == 3 })
		ends, err := kafka.Ends(t.Context(), b.Kafka, b.topic, "nothing")
		require.NoError(t, err)
		assert.Equal(t, map[string]map[int32]int64{b.topic: {0: 1, 1: 0, 2: 1}}, ends)
	})
}

// A committed offset that the log no longer holds is always reported, and all that the log holds is handled.
func TestCommittedOffsetOutsideTheLogIsALoss(t *testing.T) {
	for _, c := range []struct {
		name           string
		committed      int64
		epoch          int32
		deleted        int64
		from, to       int64
		handled        []string
		reasonContains string
	}{
		{"deleted by retention", 1, -1, 2, 1, 2, []string{"a-3"}, "deleted"},
		{"past the end, by another program", 10, -1, 0, 3, 10, []string{"a-1", "a-2", "a-3"}, "past the end"},
		{"past the end of its leader epoch", 10, 0, 0, 3, 10, nil, "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBrokers(t, func(t *testing.T, b *broker) {
				b.create(1)
				b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3))
				b.commit(c.committed, c.epoch)
				if c.deleted > 0 {
					b.deleteRecords(c.deleted)
				}
				require.Len(t, b.groupState().Lost, 1)
				assert.Equal(t, [2]int64{c.from, c.to}, [2]int64{b.groupState().Lost[0].From, b.groupState().Lost[0].To})

				d := newDiary(t)
				d.last["a"] = 3 - len(c.handled)
				w := b.consume(kafka.Options{}, d.handler)
				eventually(t, func() bool { return len(w.Status().Lost) > 0 })
				b.write(moved(0, "a", 4))
				d.waitFor(map[string]int{"a": 4})
				status := w.Status()
				assert.False(t, status.Healthy())
				require.Len(t, status.Lost, 1)
				assert.Equal(t, [2]int64{c.from, c.to}, [2]int64{status.Lost[0].From, status.Lost[0].To})
				assert.Contains(t, status.Lost[0].Reason, c.reasonContains)
				require.NoError(t, w.end())
				assert.Equal(t, append(c.handled, "a-4"), d.done)
				assert.EqualValues(t, 4, b.committed(0), "the commit goes back, too")
				assert.Empty(t, b.groupState().Lost)
			})
		})
	}
}

// A restart acknowledges a loss even if nothing was written since.
func TestLossIsReportedOnce(t *testing.T) {
	for _, c := range []struct {
		name               string
		committed, deleted int64
		want               int64
	}{
		{"deleted by retention", 1, 3, 3},
		{"past the end", 10, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBrokers(t, func(t *testing.T, b *broker) {
				b.create(1)
				b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3))
				b.commit(c.committed, -1)
				b.deleteRecords(c.deleted)
				d := newDiary(t)
				w := b.consume(kafka.Options{}, d.handler)
				eventually(t, func() bool { return len(w.Status().Lost) == 1 })
				require.NoError(t, w.end())
				assert.Equal(t, c.want, b.committed(0))
				assert.Empty(t, b.groupState().Lost)

				w = b.consume(kafka.Options{}, d.handler)
				d.last["a"] = 3
				b.write(moved(0, "a", 4))
				d.waitFor(map[string]int{"a": 4})
				assert.Empty(t, w.Status().Lost)
				require.NoError(t, w.end())
			})
		})
	}
}

// What a group was about to handle first is not skipped either, if it is deleted before that.
func TestDeletedBeforeTheFirstCommitIsALoss(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3), moved(0, "a", 4))
		b.deleteRecords(1) // before the group exists
		w := b.consume(kafka.Options{StopTimeout: 600 * time.Millisecond}, func(ctx context.Context, _ event) error {
			<-ctx.Done()
			return ctx.Err()
		})
		eventually(t, func() bool { return b.committed(0) == 1 })
		require.NoError(t, w.end())
		b.deleteRecords(3)
		d := newDiary(t)
		d.last["a"] = 3
		w = b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 4})
		lost := w.Status().Lost
		require.Len(t, lost, 1)
		assert.Equal(t, [2]int64{1, 3}, [2]int64{lost[0].From, lost[0].To})
		require.NoError(t, w.end())
	})
}

// Brokers may refuse an offset that is within the log for a moment, after a leader has changed or while a segment is fetched from
// remote storage. That is no loss, and the topic is not read again.
func TestOffsetRefusedWithinTheLogIsNoLoss(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	d := newDiary(t)
	w := b.consume(kafka.Options{}, d.handler)
	b.write(moved(0, "a", 1), moved(0, "a", 2))
	d.waitFor(map[string]int{"a": 2})
	refused := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: b.topic, Err: kerr.OffsetOutOfRange, Count: 3})
	require.NoError(t, refused.Wait(within(t), 3))
	b.write(moved(0, "a", 3))
	d.waitFor(map[string]int{"a": 3})
	assert.Empty(t, w.Status().Lost)
	require.NoError(t, w.end())
	assert.Equal(t, []string{"a-1", "a-2", "a-3"}, d.done)
}

// A running worker and publisher use a topic that is deleted and created again, from its start.
func TestConsumerSurvivesARecreatedTopic(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		b.write(moved(0, "a", 1), moved(0, "a", 2))
		d.waitFor(map[string]int{"a": 2})

		_, err := b.admin.DeleteTopic(t.Context(), b.topic)
		require.NoError(t, err)
		missing := func() bool { return strings.Contains(fmt.Sprint(w.Status().Unreadable), "sipeat topics") }
		require.Eventually(t, missing, waitTimeout, 50*time.Microsecond)
		require.Never(t, func() bool { return !missing() }, 100*time.Millisecond, time.Millisecond, "the rebalance does not hide it")
		b.create(1)
		later := connect(t, b.Brokers)
		later.topic = b.topic
		later.write(moved(0, "b", 1), moved(0, "b", 2), moved(0, "b", 3))
		d.waitFor(map[string]int{"b": 3})
		eventually(t, func() bool { s := w.Status(); return s.Healthy() })
		require.NoError(t, w.end())
		assert.Zero(t, d.repeats)
		assert.EqualValues(t, 3, b.committed(0))
	})
}

// What was fetched of the deleted topic and not handled is reported as lost, and does not come back with the new topic.
func TestUnhandledRecordsOfADeletedTopicAreALoss(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		d := newDiary(t)
		stuck := make(chan struct{}, 1)
		w := b.consume(kafka.Options{}, func(ctx context.Context, e event) error {
			if e.Data.ID == "stuck" {
				select {
				case stuck <- struct{}{}:
				default:
				}
				<-ctx.Done()
				return ctx.Err()
			}
			return d.handler(ctx, e)
		})
		b.write(moved(0, "a", 1), moved(0, "a", 2))
		d.waitFor(map[string]int{"a": 2})
		b.write(moved(0, "stuck", 1), moved(0, "stuck", 2), moved(0, "b", 1))
		<-stuck
		_, err := b.admin.DeleteTopic(t.Context(), b.topic)
		require.NoError(t, err)
		eventually(t, func() bool { return len(w.Status().Lost) > 0 })
		lost := w.Status().Lost
		require.Len(t, lost, 1)
		assert.Equal(t, [2]int64{2, 5}, [2]int64{lost[0].From, lost[0].To})
		assert.Contains(t, lost[0].Reason, "deleted")
		require.NoError(t, w.end())
	})
}

// So are records that were not even fetched.
func TestUnfetchedRecordsOfADeletedTopicAreALoss(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.write(moved(0, "a", 1), moved(0, "a", 2))
	listed := b.observe(kmsg.ListOffsets)
	unread := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: -1})
	w := b.consume(kafka.Options{}, newDiary(t).handler)
	require.NoError(t, unread.Wait(within(t), 1))
	require.NoError(t, listed.Wait(within(t), 4)) // both ends of the log, at the beginning of a group and of a partition
	_, err := b.admin.DeleteTopic(t.Context(), b.topic)
	require.NoError(t, err)
	unread.Remove()
	eventually(t, func() bool { return len(w.Status().Lost) > 0 })
	assert.Equal(t, [2]int64{0, 2}, [2]int64{w.Status().Lost[0].From, w.Status().Lost[0].To})
	require.NoError(t, w.end())
}

// A marker at the end of a topic is no record: when all records are handled, the group commits behind it, and its deletion loses
// nothing.
func TestMarkerAtTheEndOfADeletedTopicIsNoLoss(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		_, write := b.transactional()
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		write(kgo.TryCommit, moved(0, "a", 1))
		d.waitFor(map[string]int{"a": 1})
		eventually(t, func() bool { return b.committed(0) == 2 })
		write(kgo.TryAbort, moved(0, "b", 1))
		eventually(t, func() bool { return b.committed(0) == 4 })
		_, err := b.admin.DeleteTopic(t.Context(), b.topic)
		require.NoError(t, err)
		eventually(t, func() bool { return len(w.Status().Unreadable) > 0 })
		b.create(1)
		eventually(t, func() bool { return len(w.Status().Unreadable) == 0 })
		assert.Empty(t, w.Status().Lost)
		require.NoError(t, w.end())
		assert.Equal(t, []string{"a-1"}, d.done)
	})
}

// The first event after the recreation fails, those after it are written. Meanwhile the publisher is not ready.
func TestPublisherSurvivesARecreatedTopic(t *testing.T) {
	t.Parallel()
	b := fake(t)
	make := func() {
		_, err := kafka.MakeTopics(t.Context(), b.Kafka, kafka.Topics(events.Catalogue()...)...)
		require.NoError(t, err)
	}
	make()
	p := publisher(t, b.Kafka)
	topic := events.Catalogue()[0].Topic
	publish := func() error {
		_, err := p.Publish(t.Context(), toTopic{nil, topic, "k", "v"})
		return err
	}
	require.NoError(t, publish())
	_, err := b.admin.DeleteTopic(t.Context(), topic)
	require.NoError(t, err)
	eventually(t, func() bool { return publish() != nil })
	explains(t, p.Ping(t.Context()), "no topic "+topic, "sipeat topics")
	make()
	eventually(t, func() bool { return publish() == nil })
	require.NoError(t, p.Ping(t.Context()))
	require.NoError(t, publish())
	ends, err := b.admin.ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	written := int64(0)
	ends.Each(func(o kadm.ListedOffset) { written += o.Offset })
	assert.EqualValues(t, 2, written)
}

// Lag is 0 when every readable record is handled, even if the log ends with control records.
func TestLagEndsAtTheLastReadableRecord(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		_, write := b.transactional()
		transaction := func(end kgo.TransactionEndTry, records ...*kgo.Record) {
			write(end, records...)
			b.settled()
		}
		transaction(kgo.TryCommit, moved(0, "a", 1))
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 1})
		noLag := func() bool {
			lag, err := w.Lag(t.Context())
			require.NoError(t, err)
			return lag[0] == 0 && b.groupState().Lag == 0
		}
		eventually(t, noLag)
		var aborted []*kgo.Record
		for n := range 500 {
			aborted = append(aborted, moved(0, fmt.Sprint("aborted", n), 1))
		}
		transaction(kgo.TryAbort, aborted...)
		eventually(t, noLag)
		require.NoError(t, w.end())
		assert.Equal(t, []string{"a-1"}, d.done, "aborted records are not delivered")
		transaction(kgo.TryCommit, moved(0, "a", 2))
		state := b.groupState()
		assert.Positive(t, state.Lag)
		assert.WithinDuration(t, time.Now(), state.Oldest, time.Minute)

		var shown int
		require.NoError(t, kafka.Tail(t.Context(), b.Kafka, b.topic, kafka.TailOptions{From: &kafka.Point{}}, func(bus.Record) error {
			shown++
			return nil
		}))
		assert.Equal(t, 2, shown)
		enough := errors.New("enough")
		err := kafka.Tail(t.Context(), b.Kafka, b.topic, kafka.TailOptions{From: &kafka.Point{Offset: 1}}, func(r bus.Record) error {
			assert.Greater(t, r.Offset, int64(1))
			return enough
		})
		require.ErrorIs(t, err, enough)
	})
}

// A partition that was paused, because an event of it was stuck, flows again after its log was truncated.
func TestPausedPartitionFlowsAfterATruncation(t *testing.T) {
	t.Parallel()
	const ahead, total = 5, 20
	b := fake(t, kfake.NumBrokers(3))
	b.create(1)
	d := newDiary(t)
	var open atomic.Bool
	w := b.consume(kafka.Options{StopTimeout: time.Second, Delivery: bus.Options{MaxBuffered: ahead, MinBackoff: time.Millisecond,
		MaxBackoff: 10 * time.Millisecond}},
		func(ctx context.Context, e event) error {
			if e.Data.Seq > 1 && !open.Load() {
				return events.Errorf(events.Unavailable, "later")
			}
			return d.handler(ctx, e)
		})
	w.waitFor(1)
	for n := 1; n <= total; n++ {
		b.write(moved(0, "a", n))
	}
	eventually(t, func() bool { return len(w.Paused()) == 1 })
	b.write(moved(0, "a", total+1))
	b.fake.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		response := request.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		partition := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		partition.EndOffset = 1
		response.Topics = []kmsg.OffsetForLeaderEpochResponseTopic{{Topic: b.topic,
			Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{partition}}}
		return response, nil, true
	})
	b.moveLeader()
	eventually(t, func() bool { return len(w.Status().Lost) == 1 && b.committed(0) == 1 })
	<-time.After(600 * time.Millisecond) // the delivery that ends waits 500 for its handlers
	open.Store(true)
	d.waitFor(map[string]int{"a": total + 1})
	require.NoError(t, w.end())
}
