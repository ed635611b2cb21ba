package kafka_test

import (
	"context"
	"fmt"
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
	"github.com/twmb/franz-go/pkg/kversion"
)

// observe counts the requests of a kind. On kfake only.
func (b *broker) observe(keys ...kmsg.Key) *kfake.FaultHandle {
	return b.fake.Fault(kfake.Fault{Keys: keys, Observe: true, Count: -1})
}

// foreigner runs a member of another program in the test's group, and returns how to end it.
func (b *broker) foreigner(options ...kgo.Opt) (*kgo.Client, func()) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Brokers...), kgo.ConsumerGroup(b.group),
		kgo.ConsumeTopics(b.topic), kgo.DisableAutoCommit(), kgo.SessionTimeout(b.SessionTimeout),
		kgo.HeartbeatInterval(b.SessionTimeout / 4)}, options...)...)
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	return client, client.Close
}

// A partition that was paused, because an event of it was stuck, flows again after it has been another member's.
func TestPausedPartitionFlowsAfterARebalance(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const partitions, ahead, total = 2, 50, 300
		b.create(partitions)
		d := newDiary(t)
		var open atomic.Bool
		first := b.consume(kafka.Options{Delivery: bus.Options{MaxBuffered: ahead, MinBackoff: time.Millisecond,
			MaxBackoff: 10 * time.Millisecond}},
			func(ctx context.Context, e event) error {
				if e.Data.Seq == 1 && !open.Load() {
					return events.Errorf(events.Unavailable, "later")
				}
				return d.handler(ctx, e)
			})
		first.waitFor(partitions)
		for n := range total {
			for p := range int32(partitions) {
				b.write(moved(p, fmt.Sprintf("p%d-%d", p, n%(total/2)), n/(total/2)+1))
			}
		}
		eventually(t, func() bool { return len(first.Paused()) == partitions })
		second := b.consume(kafka.Options{}, d.handler)
		second.waitFor(1)
		require.NoError(t, second.end())
		first.waitFor(partitions)
		open.Store(true)
		steps := map[string]int{}
		for n := range total / 2 {
			for p := range partitions {
				steps[fmt.Sprintf("p%d-%d", p, n)] = 2
			}
		}
		d.waitFor(steps)
		require.NoError(t, first.end())
	})
}

// An event that waits for its retry when its partition is revoked is handled by the next owner, and the revocation does not
// wait for that retry.
func TestRevokedWhileARetryWaits(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(1, "b", 1), moved(0, "c", 1), moved(1, "d", 1))
		d := newDiary(t)
		var failed atomic.Int32
		first := b.consume(kafka.Options{StopTimeout: 2 * waitTimeout}, func(ctx context.Context, e event) error {
			if e.Data.ID == "a" || e.Data.ID == "b" {
				failed.Add(1)
				return &events.Error{Kind: events.Unavailable, Message: "later", RetryAfter: time.Hour}
			}
			return d.handler(ctx, e)
		})
		d.waitFor(map[string]int{"c": 1, "d": 1})
		eventually(t, func() bool { return failed.Load() == 2 })
		second := b.consume(kafka.Options{}, d.handler)
		second.waitFor(1)
		require.NoError(t, first.end())
		d.waitFor(map[string]int{"a": 1, "b": 1})
		require.NoError(t, second.end())
		assert.EqualValues(t, 2, failed.Load())
	})
}

// While the brokers refuse commits because the group rebalances, the rebalance goes on: it waits a bounded time for the
// commit, and members do not join over and over. What was not committed is handled again.
func TestRefusedCommitsDoNotStallARebalance(t *testing.T) {
	t.Parallel()
	b := fake(t)
	const partitions = 6
	b.create(partitions)
	d := newDiary(t)
	o := kafka.Options{StopTimeout: 600 * time.Millisecond}
	first := b.consume(o, d.handler)
	first.waitFor(partitions)
	refused := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: -1})
	joins := b.observe(kmsg.JoinGroup)
	steps := map[string]int{}
	for p := range int32(partitions) {
		b.write(moved(p, fmt.Sprint("k", p), 1))
		steps[fmt.Sprint("k", p)] = 1
	}
	d.waitFor(steps)
	second, third := b.consume(o, d.handler), b.consume(o, d.handler)
	for _, w := range []*worker{first, second, third} {
		w.waitFor(2)
	}
	assert.Positive(t, refused.Hits())
	assert.Less(t, joins.Hits(), 30)
	refused.Remove()
	for p := range int32(partitions) {
		b.write(moved(p, fmt.Sprint("k", p), 2))
		steps[fmt.Sprint("k", p)] = 2
	}
	d.waitFor(steps)
	for _, w := range []*worker{first, second, third} {
		require.NoError(t, w.end())
	}
	for p := range int32(partitions) {
		assert.EqualValues(t, 2, b.committed(p))
	}
}

// While the commit of a revocation waits, nothing more of that partition is handled: it would be handled again elsewhere.
func TestNothingIsHandledWhileARevocationCommits(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(2)
	d := newDiary(t)
	free := make(chan struct{})
	var waits atomic.Bool
	advance := func(_ context.Context, _ string, from, to map[int32]int64) error {
		for n := range to {
			if to[n] > from[n] {
				waits.Store(true)
				<-free
			}
		}
		return nil
	}
	first := b.consume(kafka.Options{StopTimeout: waitTimeout, Advance: advance}, d.handler)
	first.waitFor(2)
	b.write(moved(0, "a", 1), moved(1, "b", 1))
	d.waitFor(map[string]int{"a": 1, "b": 1})
	eventually(t, waits.Load)
	second := b.consume(kafka.Options{}, d.handler)
	_, err := b.fake.WaitGroupInfo(within(t), b.group, func(g *kfake.GroupInfo) bool {
		return g != nil && g.State == "Stable" && len(g.Members) == 2 && g.NumAssigned() == 1 // the other is being revoked
	})
	require.NoError(t, err)
	fetches := b.observe(kmsg.Fetch)
	b.write(moved(0, "a", 2), moved(1, "b", 2))
	require.NoError(t, fetches.Wait(within(t), 1))
	close(free)
	second.waitFor(1)
	d.waitFor(map[string]int{"a": 2, "b": 2})
	require.NoError(t, first.end())
	require.NoError(t, second.end())
	assert.Zero(t, d.repeats)
}

// Committed offsets never go back and never stop, however often the group rebalances.
func TestCommitsNeverGoBack(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const partitions = 4
		rounds := 25 // a join and a leave each, which are two rebalances each
		b.SessionTimeout = time.Second
		if b.fake == nil {
			rounds, b.SessionTimeout = 5, 6*time.Second
		}
		b.create(partitions)
		d := newDiary(t)
		first := b.consume(kafka.Options{}, d.handler)
		first.waitFor(partitions)
		before := map[int32]int64{}
		check := func() (sum int64) {
			for p := range int32(partitions) {
				now := b.committed(p)
				require.GreaterOrEqual(t, now, before[p]-1, "partition %d", p) // -1 = none
				before[p] = max(now, 0)
				sum += before[p]
			}
			return sum
		}
		steps := map[string]int{}
		for n := 1; n <= rounds; n++ {
			next := b.consume(kafka.Options{}, d.handler)
			for p := range int32(partitions) {
				b.write(moved(p, fmt.Sprint("k", p), n))
				steps[fmt.Sprint("k", p)] = n
			}
			check()
			next.waitFor(partitions / 2)
			check()
			require.NoError(t, next.end())
		}
		d.waitFor(steps)
		eventually(t, func() bool { return check() == int64(partitions*rounds) })
		require.NoError(t, first.end())
	})
}

// A worker whose coordinator is away for longer than its session takes part again when there is one.
func TestConsumerSurvivesTheLossOfItsCoordinator(t *testing.T) {
	t.Parallel()
	of := func(t *testing.T, b *broker, outage func(gone func()) (over func())) {
		t.Parallel()
		b.create(1)
		b.SessionTimeout = time.Second
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		b.write(moved(0, "a", 1))
		d.waitFor(map[string]int{"a": 1})
		over := outage(func() { eventually(t, func() bool { s := w.Status(); return !s.Joined }) })
		over()
		b.write(moved(0, "a", 2))
		d.waitFor(map[string]int{"a": 2})
		eventually(t, func() bool { s := w.Status(); return s.Healthy() && b.committed(0) == 2 })
		require.NoError(t, w.end())
	}
	for _, refusal := range []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress} {
		t.Run(refusal.Message, func(t *testing.T) {
			b := fake(t, kfake.NumBrokers(3))
			of(t, b, func(gone func()) func() {
				refused := b.fake.Fault(kfake.Fault{Group: b.group, Err: refusal, Count: -1, Keys: []kmsg.Key{kmsg.FindCoordinator,
					kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.OffsetCommit, kmsg.OffsetFetch}})
				gone()
				b.fake.RehashCoordinators()
				return refused.Remove
			})
		})
	}
	t.Run("moves", func(t *testing.T) {
		t.Parallel()
		b := fake(t, kfake.NumBrokers(3))
		b.create(1)
		b.SessionTimeout = time.Second
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		for n := 1; n <= 2; n++ { // the address of one broker stays
			b.write(moved(0, "a", n))
			d.waitFor(map[string]int{"a": n})
			eventually(t, func() bool { return b.fake.GroupInfo(b.group).Commits[b.topic][0].Offset == int64(n) })
			at := b.fake.CoordinatorFor(b.group)
			require.NoError(t, b.fake.RemoveNode(at))
			b.fake.RehashCoordinators()
			_, _, err := b.fake.AddNode(at, 0)
			require.NoError(t, err)
		}
		b.write(moved(0, "a", 3))
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, w.end())
	})
}

// The eager protocol revokes all partitions at each rebalance. A member that has not even learnt its offsets by then must not
// go on with them.
func TestEagerMemberRevokedBeforeItHasItsOffsets(t *testing.T) {
	t.Parallel()
	const partitions = 4
	b := fake(t, kfake.MaxVersions(kversion.V3_8_0())) // the brokers do not assign: the client falls back to the eager protocol
	b.ServerSide = true
	b.create(partitions)
	joins, heartbeats := b.observe(kmsg.JoinGroup), b.observe(kmsg.Heartbeat)
	var mu sync.Mutex
	handledBy := [2]map[string]int{{}, {}}
	consume := func(i int, learns func(context.Context)) *worker {
		return b.consume(kafka.Options{Advance: func(ctx context.Context, _ string, _, _ map[int32]int64) error {
			learns(ctx)
			return nil
		}}, func(_ context.Context, e event) error {
			mu.Lock()
			defer mu.Unlock()
			handledBy[i][e.Data.ID]++
			return nil
		})
	}
	var learning atomic.Bool
	first := consume(0, func(ctx context.Context) { // it has fetched the offsets, and does not know them yet
		before := joins.Hits()
		if !learning.Swap(true) {
			_ = joins.Wait(ctx, before+1)
			_ = heartbeats.Wait(ctx, heartbeats.Hits()+1)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	eventually(t, learning.Load)
	second := consume(1, func(context.Context) {})
	first.waitFor(partitions / 2)
	second.waitFor(partitions / 2)
	owners := [2][]int32{first.Status().Partitions, second.Status().Partitions}
	for p := range int32(partitions) {
		b.write(moved(p, fmt.Sprint("k", p), 1))
	}
	eventually(t, func() bool {
		sum := int64(0)
		for p := range int32(partitions) {
			sum += max(0, b.committed(p))
		}
		return sum == partitions
	})
	require.NoError(t, first.end())
	require.NoError(t, second.end())
	for i, owned := range owners {
		assert.Len(t, handledBy[i], len(owned))
		for _, p := range owned {
			assert.Equal(t, 1, handledBy[i][fmt.Sprint("k", p)], "partition %d", p)
		}
	}
}

// A worker with an instance id that ends after it has given up a partition, and before the group knows, must not keep that
// partition from the others until its session ends.
func TestStaticMemberEndsWhileItGivesUpAPartition(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(2)
	b.SessionTimeout = 2 * waitTimeout // in a quarter of which the first learns that the second joins
	d := newDiary(t)
	b.InstanceID = "one"
	var first atomic.Pointer[worker]
	var joins *kfake.FaultHandle
	first.Store(b.consume(kafka.Options{Assigned: func(_ string, partitions []int32) {
		if w := first.Load(); w != nil && len(partitions) == 1 && joins == nil { // the revocation returns now
			joins = b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Count: -1})
			w.stop()
		}
	}}, d.handler))
	first.Load().waitFor(2)
	b.InstanceID = "two"
	second := b.consume(kafka.Options{}, d.handler)
	require.NoError(t, first.Load().wait())
	joins.Remove()
	eventually(t, func() bool { return len(second.Status().Partitions) > 0 })
	n := second.Status().Partitions[0]
	b.write(moved(n, "a", 1))
	d.waitFor(map[string]int{"a": 1})
	require.NoError(t, second.end())
}

// A member that speaks the eager protocol only cannot join: it would force the workers to that protocol, with partitions that
// they read already. The workers go on undisturbed.
func TestEagerMemberCannotChangeTheProtocol(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		if b.ServerSide {
			t.Skip("with the brokers' protocol such a member joins, and the brokers assign partitions to both")
		}
		const partitions, total = 6, 200
		b.SessionTimeout = 6 * time.Second
		b.create(partitions)
		d := newDiary(t)
		var assigned atomic.Int32
		w := b.consume(kafka.Options{Assigned: func(string, []int32) { assigned.Add(1) }}, d.handler)
		w.waitFor(partitions)
		eager, leave := b.foreigner(kgo.Balancers(kgo.StickyBalancer()))
		refusal := make(chan error, 1)
		go func() {
			for {
				fetches := eager.PollFetches(t.Context())
				if fetches.IsClientClosed() || t.Context().Err() != nil {
					return
				}
				if err := fetches.Err(); err != nil {
					select {
					case refusal <- err:
					default:
					}
				}
			}
		}()
		steps := map[string]int{}
		write := func(from, to int) {
			for n := from; n <= to; n++ {
				for p := range int32(partitions) {
					id := fmt.Sprint("k", p)
					b.write(moved(p, id, n))
					steps[id] = n
				}
			}
		}
		write(1, total/2)
		require.ErrorIs(t, <-refusal, kerr.InconsistentGroupProtocol)
		write(total/2+1, total)
		d.waitFor(steps)
		leave()
		assert.EqualValues(t, 1, assigned.Load(), "no rebalance")
		require.NoError(t, w.end())
		assert.Zero(t, d.repeats)
		assert.Len(t, d.done, partitions*total)
	})
}

// While members of another program are in the group, a worker logs so once, does not join over and over, and takes over at
// their committed offsets when they leave.
func TestForeignMemberIsWaitedFor(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		if b.ServerSide {
			t.Skip("with the brokers' protocol both are members, and the brokers assign partitions to both")
		}
		b.SessionTimeout = 6 * time.Second
		b.create(1)
		b.write(moved(0, "a", 1), moved(0, "a", 2))
		app, leave := b.foreigner(kgo.Balancers(kgo.RoundRobinBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		first := app.PollRecords(t.Context(), 1).Records()
		require.Len(t, first, 1)
		require.NoError(t, app.CommitRecords(t.Context(), first...))
		var joins *kfake.FaultHandle
		if b.fake != nil {
			joins = b.observe(kmsg.JoinGroup)
		}
		l := &lines{}
		d := newDiary(t)
		d.last["a"] = 1
		w := b.consume(kafka.Options{Logger: l.logger()}, d.handler)
		eventually(t, func() bool { return l.count("members of another program") == 1 })
		s := w.Status()
		assert.False(t, s.Joined)
		assert.False(t, s.Healthy())
		if joins != nil {
			require.NoError(t, joins.Wait(within(t), 3))
			began := time.Now()
			require.NoError(t, joins.Wait(within(t), 5))
			assert.Greater(t, time.Since(began), 200*time.Millisecond, "it spins")
		}
		leave()
		d.waitFor(map[string]int{"a": 2})
		require.NoError(t, w.end())
		assert.Equal(t, []string{"a-2"}, d.done)
		assert.Equal(t, 1, l.count("level=WARN"))
		assert.Zero(t, l.count("level=ERROR"))
	})
}
