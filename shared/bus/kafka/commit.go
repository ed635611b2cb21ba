package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (m *member) commitRegularly(ctx context.Context) {
	for pause(ctx, m.CommitInterval) {
		m.commit(ctx, m.client)
	}
}

// commitAll commits until the brokers take it: while a group rebalances they do not.
func (m *member) commitAll(ctx context.Context, client *kgo.Client) bool {
	for !m.commit(ctx, client) {
		if !pause(ctx, 100*time.Millisecond) {
			return false
		}
	}
	return true
}

// begin calls [Options].Advance with the offsets at which the partitions that were assigned begin. The client calls it after
// onAssigned.
func (m *member) begin(ctx context.Context, all map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	at := map[int32]int64{}
	m.set(func() {
		for n, offset := range all[m.topic] {
			at[n] = max(offset.EpochOffset().Offset, 0) // negative where nothing is committed: the earliest
			if p := m.partitions[n]; p != nil {
				p.advanced = at[n]
			}
		}
	})
	ctx, cancel := context.WithTimeout(ctx, m.CloseTimeout)
	defer cancel()
	if err := m.Advance(ctx, m.topic, at, at); err != nil && ctx.Err() == nil {
		m.Logger.Warn("the read model could not be checked against the group's commits; it is checked again at the next commit",
			"topic", m.topic, "error", err)
	}
	return all, nil
}

// commit commits the offsets behind what is handled, once [Options].Advance has returned nil for them, and reports whether all
// are committed. What fails is committed the next time, or its events are delivered again.
func (m *member) commit(ctx context.Context, client *kgo.Client) (all bool) {
	ctx, cancel := context.WithTimeout(ctx, m.CloseTimeout)
	defer cancel()
	select {
	case m.committing <- struct{}{}:
		defer func() { <-m.committing }()
	case <-ctx.Done():
		return false
	}
	pending, offsets := map[int32]*partition{}, map[int32]kgo.EpochOffset{}
	from, to := map[int32]int64{}, map[int32]int64{}
	m.set(func() {
		for n, p := range m.partitions {
			if offset, epoch, ok := p.Handled(); ok && offset != p.committed {
				pending[n], offsets[n] = p, kgo.EpochOffset{Epoch: epoch, Offset: offset}
				from[n], to[n] = p.advanced, offset
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
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, failure error) {
			m.set(func() {
				if failure != nil { // then there is no response
					return
				}
				for _, topic := range response.Topics {
					for _, answer := range topic.Partitions {
						if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
							failure = err
						} else if p := pending[answer.Partition]; p != nil {
							p.committed = to[answer.Partition]
						}
					}
				}
			})
			if failure != nil && !errors.Is(failure, context.Canceled) { // while a group rebalances each try fails
				m.warn("offsets could not be committed; events may come again", "error", failure)
			}
			all = failure == nil
		})
	return all
}
