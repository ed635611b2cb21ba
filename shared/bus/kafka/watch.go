package kafka

import (
	"context"
	"slices"
	"sync"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Watch shows a consumer while it runs. The zero value is ready for [Options]; it is for one consumer.
type Watch struct {
	mu     sync.Mutex
	member *member // nil = it does not run
}

func (w *Watch) begin(of *member) (end func()) {
	if w == nil {
		return func() {}
	}
	set := func(to *member) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.member = to
	}
	set(of)
	return func() { set(nil) }
}

// PartitionState is a look at a partition that the consumer has.
type PartitionState struct {
	Partition int32
	Paused    bool // enough of it is in hand: nothing more is fetched
	bus.State
}

// Look looks at the consumer and the partitions that it has. ok is false while it does not run.
func (w *Watch) Look() (partitions []PartitionState, stalled, ok bool) {
	w.mu.Lock()
	member := w.member
	w.mu.Unlock()
	if member == nil {
		return nil, false, false
	}
	paused := member.client.PauseFetchPartitions(nil)[member.consumer.Topic]
	member.mu.Lock()
	defer member.mu.Unlock()
	for n, p := range member.partitions {
		partitions = append(partitions, PartitionState{n, slices.Contains(paused, n), p.State()})
	}
	return partitions, member.engine.Stalled(), true
}

// Lag asks the brokers how many records of each partition that the consumer has are not handled yet. Records that were
// removed by retention, and markers of transactions, count as records.
func (w *Watch) Lag(ctx context.Context) (map[int32]int64, error) {
	w.mu.Lock()
	member := w.member
	w.mu.Unlock()
	if member == nil {
		return nil, nil
	}
	topic := member.consumer.Topic
	starts, ends, err := bounds(ctx, kadm.NewClient(member.client), topic)
	if err != nil {
		return nil, err
	}
	committed := member.client.CommittedOffsets()[topic]
	lag := map[int32]int64{}
	member.mu.Lock()
	defer member.mu.Unlock()
	for n, p := range member.partitions {
		at, _, handled := p.Handled()
		if !handled {
			at = starts[n]
			if c, ok := committed[n]; ok && c.Offset > at {
				at = c.Offset
			}
		}
		lag[n] = max(ends[n]-at, 0)
	}
	return lag, nil
}
