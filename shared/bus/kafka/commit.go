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
	ticker := time.NewTicker(m.options.CommitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.commit(ctx, m.client)
		}
	}
}

// commitAll commits until the brokers take it: while a group rebalances they do not.
func (m *member) commitAll(ctx context.Context, client *kgo.Client) bool {
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for !m.commit(ctx, client) {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// commit commits the offsets behind what is handled, and reports whether all of them are. What fails is committed the
// next time, or its events come again.
func (m *member) commit(ctx context.Context, client *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, m.options.CloseTimeout)
	defer cancel()
	select {
	case m.committing <- struct{}{}:
		defer func() { <-m.committing }()
	case <-ctx.Done():
		return false
	}
	offsets := map[int32]kgo.EpochOffset{}
	m.mu.Lock()
	for n, p := range m.partitions {
		if handled, epoch, ok := p.Handled(); ok && handled != p.committed {
			offsets[n] = kgo.EpochOffset{Epoch: epoch, Offset: handled}
		}
	}
	m.mu.Unlock()
	if len(offsets) == 0 {
		return true
	}
	if !m.advance(ctx, offsets) {
		return false
	}
	all := false
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.Topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			all = m.committed(offsets, response, err)
		})
	return all
}

func (m *member) committed(offsets map[int32]kgo.EpochOffset, response *kmsg.OffsetCommitResponse, err error) (all bool) {
	logger := m.log // while a group rebalances each try fails
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			logger.Warn("offsets could not be committed; events may come again", "group", m.Group, "error", err)
		}
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all = true
	for _, topic := range response.Topics {
		for _, answer := range topic.Partitions {
			if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
				all = false
				logger.Warn("an offset could not be committed; events may come again",
					"group", m.Group, "partition", answer.Partition, "error", err)
			} else if p := m.partitions[answer.Partition]; p != nil {
				p.committed = offsets[answer.Partition].Offset
			}
		}
	}
	return all
}
