package dynamodb

import (
	"context"
	"sync"

	"github.com/sipeat/sipeat/shared/store"
)

// The limits of a transaction are 100 actions and 4 MB
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
const (
	maxActions = 100
	maxBytes   = 3 << 20
	// maxFlights is how many transactions are under way. What comes meanwhile waits, and shares the next ones.
	maxFlights = 16
)

// writer gathers the Puts of a handle into transactions. Two transactions that are under way have no row in common:
// whoever wants a counter that one of them changes waits for the next, and all who wait change it once, together. So a
// drink that everybody asks for is fought over by processes alone, never inside one.
type writer struct {
	ctx   context.Context
	start func(func()) bool
	send  func(batch []*op)

	mu      sync.Mutex
	queue   []*op
	busy    map[string]bool // keys of rows that a transaction under way writes
	flights int
}

// op is an item to be kept in one generation.
type op struct {
	ctx        context.Context
	generation int
	row        *row
	keys       []string // the item's, then those of its counters
	done       chan error
	answered   bool // by the goroutine that sends it
}

func newOp(ctx context.Context, generation int, r *row) *op {
	o := &op{ctx: ctx, generation: generation, row: r, keys: make([]string, 0, 1+len(r.wishes)), done: make(chan error, 1)}
	o.keys = append(o.keys, itemKey(generation, r.item.Type, r.item.ID))
	for _, w := range r.wishes {
		o.keys = append(o.keys, demandKey(generation)+"\x00"+string(counterKey(w.DemandKey)))
	}
	return o
}

func (o *op) answer(err error) {
	if !o.answered {
		o.answered = true
		o.done <- err
	}
}

// compare says that the id of the item is taken by other content, or nil for a repeat.
func (o *op) compare(kept []byte) error {
	if string(kept) == string(o.row.item.Digest[:]) {
		return nil
	}
	return store.OtherContent(o.row.item.Type, o.row.item.ID)
}

// do queues an item and waits until it is kept.
func (w *writer) do(o *op) error {
	w.mu.Lock()
	if w.ctx.Err() != nil {
		w.mu.Unlock()
		return closedError()
	}
	w.queue = append(w.queue, o)
	w.pump()
	w.mu.Unlock()
	select {
	case err := <-o.done:
		return err
	case <-o.ctx.Done():
		return ended(o.ctx.Err())
	case <-w.ctx.Done():
		return closedError()
	}
}

// pump sends what can be sent; w.mu is held.
func (w *writer) pump() {
	for w.flights < maxFlights && len(w.queue) > 0 {
		batch := w.take()
		if len(batch) == 0 {
			return
		}
		w.flights++
		_ = w.start(func() { // if not, the store is closed, and nobody waits
			w.send(batch)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.flights--
			for _, o := range batch {
				for _, k := range o.keys {
					delete(w.busy, k)
				}
			}
			w.pump()
		})
	}
}

// take takes a transaction from the queue. Who waits keeps its rows from those behind it, so that nobody is overtaken for ever.
func (w *writer) take() (batch []*op) {
	rest := w.queue[:0]
	mine, held := map[string]bool{}, map[string]bool{}
	actions, size, full := 0, 0, false
	for _, o := range w.queue {
		if o.ctx.Err() != nil {
			continue // its caller is gone
		}
		if full {
			rest = append(rest, o)
			continue
		}
		free, more := !mine[o.keys[0]], 0
		for _, k := range o.keys {
			free = free && !w.busy[k] && !held[k]
			if !mine[k] {
				more++
			}
		}
		full = free && (actions+more > maxActions || size+o.row.size > maxBytes)
		if !free || full {
			rest = append(rest, o)
			for _, k := range o.keys {
				held[k] = true
			}
			continue
		}
		batch = append(batch, o)
		for _, k := range o.keys {
			mine[k] = true
		}
		actions, size = actions+more, size+o.row.size
	}
	clear(w.queue[len(rest):])
	w.queue = rest
	for k := range mine {
		w.busy[k] = true
	}
	return batch
}
