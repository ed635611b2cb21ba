package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const commitInterval = time.Second

// begin calls [Options].Advance with the offsets at which the partitions that were assigned begin. The client calls it after
// onAssigned. A partition without a commit begins at the log's start, which the next commit commits: so what is deleted before
// it is handled is noticed as a loss, by any later member, too.
func (m *Member) begin(ctx context.Context, all map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, m.StopTimeout)
	defer cancel()
	begins, from, to := all[m.topic], map[int32]int64{}, map[int32]int64{}
	go m.listEnds(slices.Collect(maps.Keys(begins)))
	var starts map[int32]int64
	for n, offset := range begins {
		at := offset.EpochOffset()
		from[n], to[n] = at.Offset, at.Offset
		if at.Offset < 0 { // nothing is committed
			if starts == nil {
				var err error
				if starts, _, err = bounds(ctx, kadm.NewClient(m.client), m.topic); err != nil {
					return nil, err
				}
			}
			from[n], to[n] = 0, starts[n]
			begins[n] = kgo.NewOffset().At(starts[n])
		}
		m.set(func() {
			if p := m.partitions[n]; p != nil {
				p.start, p.next, p.epoch, p.committed, p.advanced = to[n], to[n], at.Epoch, at.Offset, from[n]
			}
		})
	}
	if err := m.Advance(ctx, m.topic, from, to); err != nil && ctx.Err() == nil {
		m.Logger.Warn("the read model could not be checked against the group's commits; it is checked again at the next commit",
			"topic", m.topic, "error", err)
	}
	return all, nil
}

// listEnds notes where the logs of partitions end. If the topic is deleted before they are fetched, their records are a loss.
func (m *Member) listEnds(numbers []int32) {
	ctx, cancel := context.WithTimeout(context.Background(), m.StopTimeout)
	defer cancel()
	_, ends, err := bounds(ctx, kadm.NewClient(m.client), m.topic)
	if err != nil {
		return // a fetch tells the end, too
	}
	m.set(func() {
		for _, n := range numbers {
			if p := m.partitions[n]; p != nil {
				p.listed = ends[n]
			}
		}
	})
}

// commit commits the offsets behind what is handled, once [Options].Advance has returned nil for them, and reports whether all
// are committed. What fails is committed the next time, or its events are delivered again.
func (m *Member) commit(ctx context.Context) bool {
	m.committing.Lock()
	defer m.committing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, m.StopTimeout)
	defer cancel()
	m.set(func() { m.cancelCommit = cancel })
	var handled []*kgo.Record
	pending, from, to := map[int32]*partition{}, map[int32]int64{}, map[int32]int64{}
	m.set(func() {
		for n, p := range m.partitions {
			if offset, epoch := p.done(); offset != p.committed {
				handled = append(handled, &kgo.Record{Topic: m.topic, Partition: n, Offset: offset - 1, LeaderEpoch: epoch})
				pending[n], from[n], to[n] = p, p.advanced, offset
			}
		}
	})
	if len(pending) == 0 {
		return true
	}
	if err := m.Advance(ctx, m.topic, from, to); err != nil {
		m.warn("offsets are not committed yet, because the read model could not note them", "error", err)
		return false
	}
	m.set(func() {
		for n, p := range pending {
			p.advanced = to[n]
		}
	})
	m.sending.Lock()
	defer m.sending.Unlock()
	if m.fenced.Load() {
		return false
	}
	m.set(func() {
		for n, p := range pending {
			if m.partitions[n] != p { // it may be another member's by now, which may have committed more
				delete(pending, n)
				delete(to, n)
			}
		}
	})
	handled = slices.DeleteFunc(handled, func(r *kgo.Record) bool { return pending[r.Partition] == nil })
	if len(handled) == 0 {
		return true
	}
	if err := m.client.CommitRecords(ctx, handled...); err != nil {
		if !errors.Is(err, context.Canceled) {
			m.warn("offsets could not be committed; events may come again", "error", err)
		}
		return false
	}
	// failpoint: commit-sent m, to
	m.set(func() {
		for n, p := range pending {
			p.committed = to[n]
		}
	})
	return true
}
