package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// begin calls [Options].Advance with the offsets at which the partitions that were assigned begin.
func (m *member) begin(ctx context.Context, all map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if m.options.Advance == nil {
		return all, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.CloseTimeout)
	defer cancel()
	topic := m.Topic
	at := map[int32]int64{}
	for partition, offset := range all[topic] {
		at[partition] = max(offset.EpochOffset().Offset, 0) // negative where nothing is committed: the earliest
	}
	m.mu.Lock()
	if m.advanced == nil {
		m.advanced = map[int32]int64{}
	}
	for partition, offset := range at {
		m.advanced[partition] = offset
	}
	m.mu.Unlock()
	if err := m.options.Advance(ctx, topic, at, at); err != nil && ctx.Err() == nil {
		m.options.Logger.Warn("the read model could not be checked against the group's commits; it is checked again at the next commit",
			"topic", topic, "error", err)
	}
	return all, nil
}

// advance calls [Options].Advance with what is about to be committed, and reports whether it may be.
func (m *member) advance(ctx context.Context, offsets map[int32]kgo.EpochOffset) bool {
	if m.options.Advance == nil {
		return true
	}
	from, to := map[int32]int64{}, map[int32]int64{}
	m.mu.Lock()
	for partition, offset := range offsets {
		from[partition], to[partition] = m.advanced[partition], offset.Offset
	}
	m.mu.Unlock()
	if err := m.options.Advance(ctx, m.Topic, from, to); err != nil {
		m.log.Warn("offsets are not committed yet, because the read model could not note them", "topic", m.Topic, "error", err)
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for partition, offset := range to {
		m.advanced[partition] = offset
	}
	return true
}
