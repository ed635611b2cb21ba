package kafka

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (m *member) assign(_ context.Context, client *kgo.Client, added map[string][]int32) {
	numbers := added[m.consumer.Topic]
	m.mu.Lock()
	for _, n := range numbers {
		only := map[string][]int32{m.consumer.Topic: {n}}
		client.ResumeFetchPartitions(only) // it may have been taken away while it was paused
		p := &assigned{room: make(chan struct{}, 1)}
		p.Partition = m.engine.Open(n, func() {
			client.ResumeFetchPartitions(only)
			select {
			case p.room <- struct{}{}:
			default: // said already
			}
		})
		m.partitions[n] = p
	}
	m.mu.Unlock()
	m.options.Assigned(m.consumer.Topic, m.all())
}

func (m *member) revoke(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	m.giveUp(client, removed[m.consumer.Topic], 2*m.options.CloseTimeout, m.commit)
	if m.failed() != nil {
		select {} // a handler is still running: the process ends before anybody gets its key
	}
	m.options.Assigned(m.consumer.Topic, m.all())
}

// lose is a rebalance that went on without us: the partitions may be another's already, and so may their offsets.
func (m *member) lose(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	m.giveUp(client, removed[m.consumer.Topic], 0, nil)
	m.options.Assigned(m.consumer.Topic, m.all())
}

// giveUp ends the delivery of partitions and commits what is handled, within timeout: half of it is for the handlers. commit is
// nil for partitions that are no longer ours.
func (m *member) giveUp(client *kgo.Client, numbers []int32, timeout time.Duration, commit func(context.Context, *kgo.Client) bool) {
	end := time.Now().Add(timeout)
	if m.failed() != nil {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout/2)
	defer cancel()
	m.mu.Lock()
	given := map[int32]*assigned{}
	for _, n := range numbers {
		if p := m.partitions[n]; p != nil {
			given[n] = p
		}
	}
	m.mu.Unlock()
	var closing sync.WaitGroup
	for _, p := range given {
		closing.Go(func() {
			if err := p.Close(ctx); err != nil {
				m.options.Logger.Warn("work in hand was not finished; it will be done again", "group", m.consumer.Group, "error", err)
			}
		})
	}
	closing.Wait()
	if commit != nil {
		ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(end), lastRequest))
		defer cancel()
		commit(ctx, client)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, p := range given {
		if m.partitions[n] == p { // it may have come back meanwhile
			delete(m.partitions, n)
		}
	}
}

func (m *member) all() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.partitions))
}
