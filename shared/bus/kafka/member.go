package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// member is the consumption's membership of its group, from one join until the topic is deleted or the consumption ends.
type member struct {
	*consumption
	client *kgo.Client // not for callbacks, which may be called before it is set
	joined atomic.Bool // now
	ever   atomic.Bool // joined at least once

	committing chan struct{} // held by a commit: a late one must not undo one that came after it
	partitions map[int32]*partition

	unknownFirst, unknownLast time.Time // errors that report the topic as nonexistent
}

func (m *member) run(ctx context.Context) error {
	polling, stop := context.WithCancel(ctx)
	defer stop()
	var committing sync.WaitGroup
	committing.Go(func() { m.commitRegularly(polling) })
	for ctx.Err() == nil && !m.replaced() {
		fetches := m.client.PollFetches(ctx)
		fetches.EachPartition(m.deliver)
		fetches.EachError(func(_ string, partition int32, err error) { m.fetchError(ctx, partition, err) })
		m.holdBack(ctx, fetches)
		m.client.AllowRebalance()
		if fetches.Empty() {
			pause(ctx, errorPause)
		}
	}
	end := time.Now().Add(m.StopTimeout)
	stop()
	committing.Wait()
	if m.replaced() && ctx.Err() == nil {
		m.giveUp(m.client, m.all(), 0, nil)
		m.leave(m.StopTimeout)
		return errors.Join(errTopicReplaced, m.failed())
	}
	m.giveUp(m.client, m.all(), m.StopTimeout, m.commitAll)
	if err := m.failed(); err != nil {
		return err
	}
	m.leave(max(time.Until(end), lastRequest))
	return m.failed()
}

// lastRequest is what a broker that answers needs at least, when the time is over.
const lastRequest = 500 * time.Millisecond

// A new topic is unknown to some brokers for a moment.
const (
	unknownTimeout = 2 * time.Second
	unknownGap     = 10 * time.Second       // errors that are farther apart have nothing to do with each other
	errorPause     = 100 * time.Millisecond // between fetches that return errors alone
)

// replaced reports whether the topic was deleted.
func (m *member) replaced() bool { return m.unknownLast.Sub(m.unknownFirst) > unknownTimeout }

// leave leaves the group and closes the client, unless no broker answers in time.
func (m *member) leave(timeout time.Duration) {
	left := make(chan struct{})
	go func() {
		m.client.CloseAllowingRebalance()
		close(left)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
		m.Logger.Warn("leaving the group timed out; its partitions stay assigned until the session expires", "group",
			m.group)
	}
}

func (m *member) partition(n int32) (p *partition) {
	m.set(func() { p = m.partitions[n] })
	return p
}

func (m *member) deliver(fetched kgo.FetchTopicPartition) {
	p := m.partition(fetched.Partition)
	if p == nil || len(fetched.Records) == 0 {
		return
	}
	p.next = fetched.Records[len(fetched.Records)-1].Offset + 1
	p.Deliver(fromKgo(fetched.Records))
}

// pauseAfter is how long a full partition may hold up the others before it is paused. Most have room again much sooner,
// and to pause costs more than that: the client drops what it has fetched ahead.
const pauseAfter = 50 * time.Millisecond

// holdBack waits until none of the partitions that got records is full, and pauses those that stay so.
func (m *member) holdBack(ctx context.Context, fetches kgo.Fetches) {
	ctx, cancel := context.WithTimeout(ctx, pauseAfter)
	defer cancel()
	fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
		if p := m.partition(fetched.Partition); p != nil && !p.waitForRoom(ctx) {
			only := m.only(fetched.Partition)
			m.client.PauseFetchPartitions(only)
			if !p.Full() { // it emptied before the pause, so no room signal will end it
				m.client.ResumeFetchPartitions(only)
			}
		}
	})
}

func (m *member) only(n int32) map[string][]int32 { return map[string][]int32{m.topic: {n}} }

// fetchError handles the errors of a poll. It runs while no rebalance can, as moving a partition requires.
func (m *member) fetchError(ctx context.Context, n int32, err error) {
	var session *kgo.ErrGroupSession
	var tooLarge *kgo.ErrDecompressTooLarge
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed),
		errors.Is(err, errUnpolled):
	case errors.As(err, &session): // OnGroupManageError logs it
	case errors.As(err, &tooLarge):
		m.skip(tooLarge)
	case errors.As(err, &loss):
		m.recordLoss(Loss{n, loss.ResetTo, loss.ConsumedTo, truncated})
		m.reopen(n)
	case errors.Is(err, kerr.OffsetOutOfRange):
		m.outOfRange(ctx, n)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		now := time.Now()
		if now.Sub(m.unknownLast) > unknownGap {
			m.unknownFirst = now
		}
		m.unknownLast = now
	case kerr.IsRetriable(err): // a leader that moves
	default:
		m.unreadable(n, err)
		m.warn(fmt.Sprintf("partition %d cannot be read", n), "error", err)
	}
}

// skip delivers a batch that cannot be decompressed as one unreadable record, whose dead letter names its offsets, and goes
// on behind it.
func (m *member) skip(batch *kgo.ErrDecompressTooLarge) {
	p := m.partition(batch.Partition)
	if p == nil {
		return
	}
	p.next = batch.NextOffset
	p.Deliver([]bus.Record{unreadableRecord(batch)})
	m.seek(batch.Partition, kgo.EpochOffset{Epoch: batch.Epoch, Offset: batch.NextOffset})
}

func (m *member) seek(n int32, to kgo.EpochOffset) {
	m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.topic: {n: to}})
}

// outOfRange moves a partition whose offset is not the log's any more to the log's start: where the log was truncated, no
// later offset is sure to come before everything that was written since.
func (m *member) outOfRange(ctx context.Context, n int32) {
	p := m.partition(n)
	if p == nil {
		return
	}
	starts, ends, err := bounds(ctx, kadm.NewClient(m.client), m.topic)
	if err != nil {
		m.unreadable(n, err)
		return // the next fetch returns the same error
	}
	at := p.next
	if at == 0 {
		at = m.client.CommittedOffsets()[m.topic][n].Offset
	}
	switch start, end := starts[n], ends[n]; {
	case at < start:
		m.recordLoss(Loss{n, at, start, deletedUnhandled})
	default:
		m.recordLoss(Loss{n, min(at, end), at, pastTheEnd})
		m.reopen(n)
	}
	m.seek(n, kgo.EpochOffset{Epoch: -1, Offset: starts[n]})
}

// reopen restarts the delivery of a partition at an offset that may be lower. It waits a short time for work in progress.
func (m *member) reopen(n int32) {
	p := m.partition(n)
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.CloseTimeout/2)
	defer cancel()
	_ = p.Wait(ctx)
	m.closePartition(ctx, p)
	var advanced int64
	m.set(func() { advanced = p.advanced })
	m.open(m.client, n, advanced)
}

func (m *member) closePartition(ctx context.Context, p *partition) {
	if err := p.Close(ctx); err != nil {
		m.Logger.Warn("abandoned work in progress; it will be done again", "group", m.group, "error", err)
	}
}

func (m *member) open(client *kgo.Client, n int32, advanced int64) {
	p := openPartition(m.engine, n, func() { client.ResumeFetchPartitions(m.only(n)) })
	p.advanced = advanced
	m.set(func() { m.partitions[n] = p })
}

// onAssigned is called with each join, even without any partition.
func (m *member) onAssigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	m.joined.Store(true)
	m.ever.Store(true)
	for _, n := range added[m.topic] {
		client.ResumeFetchPartitions(m.only(n)) // it may have been revoked while it was paused
		m.open(client, n, 0)
	}
	m.Assigned(m.topic, m.all())
}

func (m *member) onRevoked(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	m.giveUp(client, removed[m.topic], 2*m.CloseTimeout, m.commit)
	if m.failed() != nil {
		select {} // a handler is still running: the process ends before another member gets its key
	}
	m.changed()
}

// onLost is called for a rebalance that went on without this member: other members may have the partitions already, and
// their offsets.
func (m *member) onLost(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	m.joined.Store(false)
	m.giveUp(client, removed[m.topic], 0, nil)
	m.changed()
}

func (m *member) changed() {
	if m.ever.Load() { // a failed join loses what the member never had
		m.Assigned(m.topic, m.all())
	}
}

// giveUp ends the delivery of partitions and commits what is handled, within timeout: half of it is for the handlers. commit
// is nil for partitions that this member has lost.
func (m *member) giveUp(
	client *kgo.Client, numbers []int32, timeout time.Duration, commit func(context.Context, *kgo.Client) bool,
) {
	end := time.Now().Add(timeout)
	if m.failed() != nil {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout/2)
	defer cancel()
	given := map[int32]*partition{}
	var closing sync.WaitGroup
	for _, n := range numbers {
		if p := m.partition(n); p != nil {
			given[n] = p
			closing.Go(func() { m.closePartition(ctx, p) })
		}
	}
	closing.Wait()
	if commit != nil {
		ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(end), lastRequest))
		defer cancel()
		commit(ctx, client)
	}
	m.set(func() {
		for n, p := range given {
			if m.partitions[n] == p { // it may have been assigned again meanwhile
				delete(m.partitions, n)
			}
		}
	})
}

func (m *member) all() (numbers []int32) {
	m.set(func() { numbers = slices.Sorted(maps.Keys(m.partitions)) })
	return numbers
}

var _ kgo.HookGroupManageError = (*member)(nil)

// OnGroupManageError ends the consumption for errors that no retry cures. The client itself retries everything without end.
func (m *member) OnGroupManageError(err error) {
	m.joined.Store(false)
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		m.fail(fmt.Errorf("another worker has joined with the same KAFKA_INSTANCE_ID: give each worker its own: %w", err))
	case errors.Is(err, kerr.InvalidSessionTimeout):
		m.fail(fmt.Errorf("the brokers refuse KAFKA_SESSION_TIMEOUT=%s: set it between their group.min.session.timeout.ms"+
			" (6s by default) and group.max.session.timeout.ms (30m), or change those: %w",
			m.SessionTimeout, err))
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		m.warn("the group has members of another program, which cannot share its partitions; waiting until they stop")
	case !m.ever.Load() && errors.Is(err, kerr.GroupAuthorizationFailed):
		m.fail(denied(m.cluster, "Read", "group", m.group))
	case !m.ever.Load() && (errors.Is(err, kerr.TopicAuthorizationFailed) ||
		errors.Is(err, kerr.GroupMaxSizeReached) || errors.Is(err, kerr.InvalidGroupID)): // what was lost may come back
		m.fail(fmt.Errorf("the group cannot be joined: %w", err))
	default:
		m.warn("cannot take part in the consumer group; retrying", "error", err)
	}
}
