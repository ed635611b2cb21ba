package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A new group begins at the earliest record, and resumes at its commit. Each commit waits until Advance has returned nil.
func TestGroupResumesAtItsCommit(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(0, "a", 2), moved(1, "b", 1))
		d := newDiary(t)
		var mu sync.Mutex
		fails, begun, at := 1, 0, int64(0)
		advance := func(_ context.Context, _ string, from, to map[int32]int64) error {
			mu.Lock()
			defer mu.Unlock()
			start, included := from[0]
			switch {
			case !included:
			case start == to[0]: // at an assignment, or the commit after one that Advance has allowed and the brokers did not take
				assert.Equal(t, at, start)
				begun++
			case fails > 0:
				fails--
				return errors.New("no database")
			default:
				assert.Equal(t, at, start)
				at = to[0]
			}
			return nil
		}
		w := b.consume(kafka.Options{Advance: advance}, d.handler)
		d.waitFor(map[string]int{"a": 2, "b": 1})
		eventually(t, func() bool { return b.committed(0) == 2 })
		b.write(moved(0, "a", 3))
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, w.end())
		assert.EqualValues(t, 1, b.committed(1))
		b.write(moved(0, "a", 4))
		w = b.consume(kafka.Options{Advance: advance}, d.handler)
		d.waitFor(map[string]int{"a": 4})
		require.NoError(t, w.end())
		assert.Zero(t, d.repeats)
		assert.Zero(t, fails)
		assert.GreaterOrEqual(t, begun, 2)
		assert.Equal(t, [2]int64{4, 4}, [2]int64{at, b.committed(0)})
	})
}

// A commit carries the leader epoch of the record before it, so that the next owner notices a log that was truncated.
func TestCommitsCarryTheLeaderEpoch(t *testing.T) {
	t.Parallel()
	b := fake(t, kfake.NumBrokers(3))
	b.create(1)
	b.moveLeader()
	d := newDiary(t)
	w := b.consume(kafka.Options{}, d.handler)
	commit := func() kfake.GroupCommit { return b.fake.GroupInfo(b.group).Commits[b.topic][0] }
	for n := 1; n <= 2; n++ {
		b.moveLeader()
		b.write(moved(0, "a", n))
		d.waitFor(map[string]int{"a": n})
		eventually(t, func() bool { return commit().Offset == int64(n) })
		assert.Equal(t, b.fake.PartitionInfo(b.topic, 0).Epoch, commit().LeaderEpoch)
	}
	require.NoError(t, w.end())
}

// Offsets count whichever program committed them: the TypeScript app's groups resume here.
func TestResumesAtOffsetsCommittedByAnotherProgram(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3))
		b.commit(2, -1)
		d := newDiary(t)
		d.last["a"] = 2
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, w.end())
		assert.Equal(t, []string{"a-3"}, d.done)
	})
}

// A running worker consumes partitions that are added to its topic.
func TestPartitionsAddedLaterAreConsumed(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.write(moved(0, "a", 1))
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"a": 1})
		_, err := b.admin.UpdatePartitions(t.Context(), 2, b.topic)
		require.NoError(t, err)
		eventually(t, func() bool { // the brokers show them a moment later
			topics, err := b.admin.ListTopics(t.Context(), b.topic)
			return err == nil && len(topics[b.topic].Partitions) == 2
		})
		later := connect(t, b.Brokers) // a publisher that came later
		later.topic = b.topic
		later.write(moved(1, "b", 1))
		d.waitFor(map[string]int{"b": 1})
		require.NoError(t, w.end())
	})
}

// While one key is stuck, other keys proceed, the committed offset stays before the stuck event, and after a bound the
// partition pauses. Other partitions proceed all the time.
func TestStuckKeyPausesItsPartitionOnly(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const ahead, total = 50, 500
		b.create(2)
		b.write(moved(0, "stuck", 1))
		for n := 1; n <= total; n++ { // batches smaller than the bound, so that there is something to hold back
			b.write(moved(0, "free", n), moved(1, "other", n))
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
		b.write(moved(1, "other", total+1))
		d.waitFor(map[string]int{"other": total + 1})
		eventually(t, func() bool { return b.committed(1) == total+1 })
		assert.EqualValues(t, 0, b.committed(0), "the offset at which it began")
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
		eventually(t, func() bool { return b.committed(0) == 6 })
		require.NoError(t, w.end())
		classes := map[bus.Class]int{}
		for _, r := range b.read(bus.DeadLetterTopic(b.topic), 3) {
			l, ok := bus.ParseDeadLetter(record(r))
			assert.True(t, ok)
			classes[l.Class]++
		}
		assert.Equal(t, map[bus.Class]int{bus.Undecodable: 2, bus.Refused: 1}, classes)
	})
}

func TestShutdownFinishesRunningHandlersAndLeavesTheGroup(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.SessionTimeout = time.Minute
		b.write(moved(0, "a", 1), moved(0, "a", 2))
		d := newDiary(t)
		running, finish := make(chan struct{}, 1), make(chan struct{})
		w := b.consume(kafka.Options{}, func(ctx context.Context, e event) error {
			running <- struct{}{}
			<-finish
			return d.handler(ctx, e)
		})
		<-running
		w.stop()
		time.AfterFunc(50*time.Millisecond, func() { close(finish) })
		require.NoError(t, w.wait())
		require.NotEmpty(t, d.done, "the handler that was running")
		assert.EqualValues(t, len(d.done), b.committed(0))
		groups, err := b.admin.DescribeGroups(t.Context(), b.group)
		require.NoError(t, err)
		assert.Empty(t, groups[b.group].Members)
	})
}

func TestShutdownWhileNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	b, network := fakeWithNetwork(t)
	b.create(1)
	b.write(moved(0, "a", 1))
	d := newDiary(t)
	w := b.consume(kafka.Options{StopTimeout: 600 * time.Millisecond}, d.handler)
	d.waitFor(map[string]int{"a": 1})
	network.set(true, false, false)
	require.NoError(t, w.end())
}

// The worker stays in the group, so that no other member gets the key while that handler runs.
func TestHandlerThatIgnoresItsDeadlineEndsRun(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.write(moved(0, "a", 1))
	finish := make(chan struct{})
	defer close(finish)
	w := b.consume(kafka.Options{Delivery: bus.Options{HandlerTimeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond}},
		func(context.Context, event) error { <-finish; return nil })
	explains(t, w.wait(), "a-1", b.group)
	assert.Len(t, b.fake.GroupInfo(b.group).Members, 1)
	assert.LessOrEqual(t, b.committed(0), int64(0), "at most where it began")
}

// Workers join and leave while events are written. A rebalance finishes and commits the work in progress, so no event is
// even delivered twice.
func TestWorkersJoinAndLeave(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const partitions, keys, each = 6, 18, 60
		b.create(partitions)
		var records []*kgo.Record
		steps := map[string]int{}
		for n := 1; n <= each; n++ {
			for k := range keys {
				id := fmt.Sprintf("k%d", k)
				records = append(records, moved(int32(k%partitions), id, n))
				steps[id] = n
			}
		}
		d := newDiary(t)
		slowly := func(ctx context.Context, e event) error {
			if e.Data.Seq%7 == 0 {
				time.Sleep(2 * time.Millisecond) // as long as a database
			}
			return d.handler(ctx, e)
		}
		write := func(part int) { b.write(records[part*len(records)/4 : (part+1)*len(records)/4]...) }
		first := b.consume(kafka.Options{}, slowly)
		write(0)
		first.waitFor(partitions)
		second := b.consume(kafka.Options{}, slowly)
		write(1)
		second.waitFor(partitions / 2)
		third := b.consume(kafka.Options{}, slowly)
		write(2)
		third.waitFor(partitions / 3)
		require.NoError(t, first.end())
		write(3)
		require.NoError(t, third.end())
		d.waitFor(steps)
		require.NoError(t, second.end())
		assert.Zero(t, d.repeats)
		assert.Len(t, d.done, len(records))
	})
}

// A rebalance revokes a partition from a worker whose handler runs until it is cancelled, and then the worker ends. The next
// one begins with these events.
func TestSlowHandlersAreAbandoned(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(1, "b", 1))
		d := newDiary(t)
		running := make(chan string, 10)
		first := b.consume(kafka.Options{StopTimeout: 400 * time.Millisecond}, func(ctx context.Context, e event) error {
			running <- e.Data.ID
			<-ctx.Done()
			return ctx.Err()
		})
		<-running
		<-running
		second := b.consume(kafka.Options{}, d.handler)
		second.waitFor(1)
		require.NoError(t, first.end())
		d.waitFor(map[string]int{"a": 1, "b": 1})
		require.NoError(t, second.end())
	})
}

// A session timeout that the brokers refuse ends the worker with the setting to change.
func TestRefusedSessionTimeoutEndsRun(t *testing.T) {
	t.Parallel()
	b := fake(t, kfake.GroupMinSessionTimeout(6*time.Second))
	b.create(1)
	b.SessionTimeout = time.Second
	explains(t, b.consume(kafka.Options{}, newDiary(t).handler).wait(), "KAFKA_SESSION_TIMEOUT=1s", "group.min.session.timeout.ms")
}

// A worker ends if another one takes over its instance id and with it its partitions.
func TestDuplicateInstanceIDEndsRun(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.InstanceID = "one"
	first := b.consume(kafka.Options{}, newDiary(t).handler)
	first.waitFor(1)
	second := b.consume(kafka.Options{}, newDiary(t).handler)
	explains(t, first.wait(), "KAFKA_INSTANCE_ID")
	second.waitFor(1)
	assert.NoError(t, second.end())
}

// A worker that loses its right to the group while it runs takes part again when it has the right back.
func TestGroupRightLostForAWhile(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.SessionTimeout = time.Second
	d := newDiary(t)
	w := b.consume(kafka.Options{}, d.handler)
	w.waitFor(1)
	refused := make(chan struct{})
	b.fake.ControlKey(int16(kmsg.Heartbeat), func(request kmsg.Request) (kmsg.Response, error, bool) {
		defer close(refused)
		response := request.ResponseKind().(*kmsg.HeartbeatResponse)
		response.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return response, nil, true
	})
	<-refused
	b.write(moved(0, "a", 1))
	d.waitFor(map[string]int{"a": 1})
	require.NoError(t, w.end())
}

// A member that learns only when it joins again that the group went on without it begins at the group's offsets.
func TestMemberRemovedBeforeItJoinsAgainBeginsAtTheCommits(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		b.SessionTimeout = time.Minute // so that no heartbeat tells it first
		d := newDiary(t)
		begun, free, lost := make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
		w := b.consume(kafka.Options{Assigned: func(_ string, partitions []int32) {
			if len(partitions) == 0 {
				select {
				case lost <- struct{}{}:
				default:
				}
			}
		}}, func(ctx context.Context, e event) error {
			if e.Data.Seq == 2 {
				close(begun)
				select {
				case <-free:
				case <-ctx.Done():
				}
			}
			return d.handler(ctx, e)
		})
		w.waitFor(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2), moved(0, "a", 3))
		<-begun
		groups, err := b.admin.DescribeGroups(t.Context(), b.group)
		require.NoError(t, err)
		require.Len(t, groups[b.group].Members, 1)
		b.removeMember(groups[b.group].Members[0].MemberID)
		b.commit(3, -1) // by another member
		w.Rejoin()
		select {
		case <-lost:
		case <-time.After(waitTimeout):
			t.Error("it has kept the partition")
		}
		close(free)
		b.write(moved(0, "b", 1))
		d.waitFor(map[string]int{"b": 1})
		require.NoError(t, w.end())
		assert.NotContains(t, d.done, "a-3", "another member has handled it")
		assert.Equal(t, int64(4), b.committed(0))
	})
}

// A commit that waited for Advance while its member was removed from the group must not undo what the next owner committed,
// although the member may commit again once it has joined again.
func TestLateCommitOfLostPartitionIsDropped(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		d := newDiary(t)
		waits, free := make(chan struct{}, 1), make(chan struct{})
		slow := b.consume(kafka.Options{
			StopTimeout: waitTimeout,
			Advance: func(ctx context.Context, _ string, from, to map[int32]int64) error {
				if from[0] != to[0] {
					select {
					case waits <- struct{}{}:
					default:
					}
					select {
					case <-free:
					case <-ctx.Done():
					}
				}
				return nil
			},
		}, d.handler)
		slow.waitFor(1)
		next := b.consume(kafka.Options{}, d.handler)
		members := func() (owner, other string) { // empty while the group is rebalancing
			groups, err := b.admin.DescribeGroups(t.Context(), b.group)
			if err != nil || groups[b.group].State != "Stable" || len(groups[b.group].Members) != 2 {
				return "", ""
			}
			for _, m := range groups[b.group].Members {
				if assigned, ok := m.Assigned.AsConsumer(); ok && len(assigned.Topics) > 0 {
					owner = m.MemberID
				} else {
					other = m.MemberID
				}
			}
			return owner, other
		}
		var owner, other string
		eventually(t, func() bool { owner, other = members(); return owner != "" })
		b.write(moved(0, "a", 1))
		<-waits
		b.removeMember(owner)
		eventually(t, func() bool {
			owner, _ = members()
			if owner != "" && owner != other { // it joined again before the other member did, and got the partition back
				b.removeMember(owner)
			}
			return owner == other
		})
		b.write(moved(0, "a", 2))
		eventually(t, func() bool { return b.committed(0) == 2 })
		close(free)
		require.NoError(t, next.end())
		b.write(moved(0, "a", 3))
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, slow.end())
		assert.Equal(t, []string{"a-2", "a-3"}, d.done[slices.Index(d.done, "a-2"):], "it goes on where the other ended")
	})
}
