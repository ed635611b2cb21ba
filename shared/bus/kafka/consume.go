package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// pauseAfter is how long a full partition may hold up the others before it is paused. Most have room again much sooner,
	// and to pause costs more than that: the client drops what it has fetched ahead.
	pauseAfter = 50 * time.Millisecond
	errorPause = 100 * time.Millisecond // between fetches that return errors alone
	// A new topic is unknown to some brokers for a moment. Errors that are farther apart have nothing to do with each other.
	unknownTimeout = 2 * time.Second
	unknownGap     = 10 * time.Second
)

// poll delivers what the client has fetched, waits until none of its partitions is full, and pauses those that stay so.
func (m *Member) poll(ctx context.Context) {
	fetches := m.client.PollFetches(ctx)
	fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
		if p := m.partition(fetched.Partition); p != nil && len(fetched.Records) > 0 {
			last := fetched.Records[len(fetched.Records)-1]
			p.next, p.epoch, p.end = last.Offset+1, last.LeaderEpoch, fetched.HighWatermark
			records := make([]bus.Record, 0, len(fetched.Records))
			for _, r := range fetched.Records {
				if !r.Attrs.IsControl() {
					records = append(records, fromKgo(r))
				}
			}
			p.Deliver(records)
			if last.Attrs.IsControl() {
				p.Skip(p.next, p.epoch)
			}
		}
	})
	fetches.EachError(func(_ string, partition int32, err error) { m.fetchError(ctx, partition, err) })
	waiting, cancel := context.WithTimeout(ctx, pauseAfter)
	defer cancel()
	fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
		if p := m.partition(fetched.Partition); p != nil && p.WaitForRoom(waiting) != nil {
			m.client.PauseFetchPartitions(m.only(fetched.Partition))
			if !p.Full() { // it emptied before the pause, so no room signal will end it
				m.client.ResumeFetchPartitions(m.only(fetched.Partition))
			}
		}
	})
	m.client.AllowRebalance()
	if m.unknownLast.Sub(m.unknownFirst) > unknownTimeout {
		m.forgetTopic(ctx)
	}
	if fetches.Empty() {
		pause(ctx, errorPause)
	}
}

// fromKgo shares the memory of what was fetched.
func fromKgo(r *kgo.Record) bus.Record {
	out := bus.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, LeaderEpoch: r.LeaderEpoch,
		Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, bus.Header(h))
	}
	return out
}

// fetchError handles the errors of a poll. It runs while no rebalance can, as moving a partition requires.
func (m *Member) fetchError(ctx context.Context, n int32, err error) {
	var session *kgo.ErrGroupSession
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed),
		errors.Is(err, errUnpolled):
	case errors.As(err, &session):
		m.groupError(session.Err)
	case errors.Is(err, errUndecompressed):
		m.skip(ctx, n)
	case errors.As(err, &loss):
		m.recordLoss(Loss{n, loss.ResetTo, loss.ConsumedTo, truncated})
		m.reopen(n, loss.ResetTo)
	case errors.Is(err, kerr.OffsetOutOfRange):
		m.outOfRange(ctx, n, err)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		now := time.Now()
		if now.Sub(m.unknownLast) > unknownGap {
			m.unknownFirst = now
		}
		m.unknownLast = now
	case kerr.IsRetriable(err): // a leader that moves
	default:
		m.cannotRead(n, err)
		m.warn(fmt.Sprintf("partition %d cannot be read", n), "error", err)
	}
}

var errTopicReplaced = errors.New("the topic was deleted, or deleted and created again; `sipeat topics` creates a missing one")

// forgetTopic starts over once there is a topic of the name: the client holds on to the one that it has found first and
// refuses any other, and no offset of the one may be committed on the other.
func (m *Member) forgetTopic(ctx context.Context) {
	m.warn(errTopicReplaced.Error() + "; its consumer starts over")
	var given map[int32]*partition
	m.set(func() {
		given = maps.Clone(m.partitions)
		for _, p := range given {
			p.end = max(p.end, p.listed)
		}
	})
	m.giveUp(m.all(), 0)
	for n, p := range given {
		if handled, _ := p.done(); handled < p.end {
			m.recordLoss(Loss{n, handled, p.end, topicDeleted})
		}
	}
	m.client.PurgeTopicsFromConsuming(m.topic)
	for missing := true; missing; {
		m.cannotRead(-1, errTopicReplaced)
		_, _, err := bounds(ctx, kadm.NewClient(m.client), m.topic)
		missing = err != nil && pause(ctx, time.Second)
	}
	m.client.AddConsumeTopics(m.topic)
	m.unknownFirst = m.unknownLast
}

// skip delivers a batch that cannot be decompressed as one unreadable record, whose dead letter names its offsets, and goes
// on behind it.
func (m *Member) skip(ctx context.Context, n int32) {
	p := m.partition(n)
	if p == nil {
		return
	}
	batch, err := unreadableBatch(ctx, m.client, m.topic, n, p.next)
	if err != nil {
		m.cannotRead(n, err)
	}
	if batch != nil { // otherwise the next fetch returns the same error
		p.next, p.epoch = batch.NextOffset, batch.Epoch
		p.Deliver([]bus.Record{unreadableRecord(batch)})
		m.seek(n, kgo.EpochOffset{Epoch: batch.Epoch, Offset: batch.NextOffset})
	}
}

func (m *Member) seek(n int32, to kgo.EpochOffset) {
	m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.topic: {n: to}})
}

// outOfRange moves a partition whose offset is not the log's any more to the log's start: where the log was truncated, no
// later offset is sure to come before everything that was written since.
func (m *Member) outOfRange(ctx context.Context, n int32, refusal error) {
	p := m.partition(n)
	if p == nil {
		return
	}
	starts, ends, err := bounds(ctx, kadm.NewClient(m.client), m.topic)
	if err != nil {
		m.cannotRead(n, err)
		return // the next fetch returns the same error
	}
	to := kgo.EpochOffset{Epoch: -1, Offset: starts[n]}
	switch {
	case p.next < to.Offset:
		m.recordLoss(Loss{n, p.next, to.Offset, deletedUnhandled})
		p.next, p.epoch = to.Offset, -1
		p.Skip(to.Offset, -1)
	case p.next == to.Offset, p.epoch >= 0 && p.next <= ends[n]:
		m.cannotRead(n, refusal)
		to = kgo.EpochOffset{Epoch: p.epoch, Offset: p.next} // the client compares it with the log: it may have been truncated
	default:
		m.recordLoss(Loss{n, min(p.next, ends[n]), p.next, pastTheEnd})
		m.reopen(n, to.Offset)
	}
	m.seek(n, to)
}

// reopen restarts the delivery of a partition at an offset that may be lower. It waits a short time for work in progress.
func (m *Member) reopen(n int32, at int64) {
	p := m.partition(n)
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.StopTimeout/2)
	defer cancel()
	_ = p.Wait(ctx)
	m.closePartition(p, 0)
	var advanced int64
	m.set(func() { advanced = p.advanced })
	m.open(n, at, -1, advanced)
}
