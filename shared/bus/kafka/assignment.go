package kafka

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (w *worker) assign(_ context.Context, client *kgo.Client, added map[string][]int32) {
	numbers := added[w.consumer.Topic]
	w.mu.Lock()
	for _, n := range numbers {
		only := map[string][]int32{w.consumer.Topic: {n}}
		client.ResumeFetchPartitions(only) // it may have been taken away while it was paused
		p := &assigned{room: make(chan struct{}, 1)}
		p.Partition = w.engine.Open(n, func() {
			client.ResumeFetchPartitions(only)
			select {
			case p.room <- struct{}{}:
			default: // said already
			}
		})
		w.partitions[n] = p
	}
	w.mu.Unlock()
	w.options.Assigned(w.consumer.Topic, w.all())
}

func (w *worker) revoke(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	w.giveUp(client, removed[w.consumer.Topic], w.commit)
	if w.failed() != nil {
		select {} // a handler is still running: the process ends before anybody gets its key
	}
	w.options.Assigned(w.consumer.Topic, w.all())
}

// lose is a rebalance that went on without us: the partitions may be another's already, and so may their offsets.
func (w *worker) lose(_ context.Context, client *kgo.Client, removed map[string][]int32) {
	w.giveUp(client, removed[w.consumer.Topic], nil)
	w.options.Assigned(w.consumer.Topic, w.all())
}

// giveUp ends the delivery of partitions and commits what is handled; commit is nil for those that are no longer ours.
func (w *worker) giveUp(client *kgo.Client, numbers []int32, commit func(context.Context, *kgo.Client) bool) {
	timeout := w.options.CloseTimeout
	if commit == nil || w.failed() != nil {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	w.mu.Lock()
	given := map[int32]*assigned{}
	for _, n := range numbers {
		if p := w.partitions[n]; p != nil {
			given[n] = p
		}
	}
	w.mu.Unlock()
	var closing sync.WaitGroup
	for _, p := range given {
		closing.Go(func() {
			if err := p.Close(ctx); err != nil {
				w.options.Logger.Warn("work in hand was not finished; it will be done again", "group", w.consumer.Group, "error", err)
			}
		})
	}
	closing.Wait()
	if commit != nil {
		ctx, cancel := context.WithTimeout(context.Background(), w.options.CloseTimeout)
		defer cancel()
		commit(ctx, client)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, p := range given {
		if w.partitions[n] == p { // it may have come back meanwhile
			delete(w.partitions, n)
		}
	}
}

func (w *worker) all() []int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.partitions))
}
