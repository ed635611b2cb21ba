package bus

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Partition delivers one partition. It holds the window of events from the first that is not handled on, in offset order,
// and a queue for each key in it.
type Partition struct {
	engine *Engine
	number int32
	room   func()    // may be nil
	end    time.Time // of the delivery, see [Engine.Open]; zero = none
	ctx    context.Context

	cancel, stopWatch context.CancelFunc // cancel: all handlers

	mu          sync.Mutex
	changed     sync.Cond // Wait or Close may return
	window      []*delivery
	bytes       int // of the window
	queued      int // events of the window, from the front, that are in their key's queue
	queues      map[uint64]*keyQueue
	ready       []*keyQueue // whose first event may run, first in, first out
	retrying    int         // key queues that wait for a retry
	workers     []*worker
	running     int       // workers that have an event
	idleWorkers int       // of the workers: they wait for an event
	work        sync.Cond // idle workers may go on
	begun       int64     // the highest offset that was; -1 = none
	handled     int64     // the offset after the last event handled with all before it; 0 = none
	epoch       int32     // of that event's record
	full        bool      // Full has returned true since there was room
	closed      bool
	overrun     error // from then on no handler is awaited and no result counts
}

// delivery is one delivered record that is not handled yet.
type delivery struct {
	Position
	epoch   int32
	copied  bool // the record, out of what was fetched with it
	handled bool // then only position, epoch and size are left; or a gap, see Skip
	record  atomic.Pointer[Record]
	key     uint64 // its hash: keys that share one are ordered among each other, too
	size    int
	queue   *keyQueue
	next    *delivery // of the same key
	*state            // nil before the first try
}

var seed = maphash.MakeSeed() // of the hashes of keys

// state is what the engine knows of an event from its first try on.
type state struct {
	message
	retryState
	ctx   context.Context // of its handlers
	trace func(Report)    // nil = none, or over
}

// keyQueue holds the events of one key in offset order. It is in the ready queue, with a worker or waiting for a retry, in
// one of these at a time, which keeps the order.
type keyQueue struct {
	first, last *delivery
	retry       *time.Timer // of the first
}

// Deliver takes the next records of the partition, in offset order, and does not wait for their handlers. It keeps the
// slice. Records that wait are copied soon, so that they do not hold the memory of all that was fetched with them.
func (p *Partition) Deliver(records []Record) {
	deliveries, bytes := make([]delivery, len(records)), 0
	for i := range records {
		d, r := &deliveries[i], &records[i]
		d.Position, d.epoch, d.size = r.Position(), r.LeaderEpoch, r.size()
		d.key = maphash.Bytes(seed, r.Key)
		d.record.Store(r)
		if len(r.Key) == 0 { // the TypeScript app writes none: the event's own orders it
			m, _ := p.engine.consumer.decode(r, nil)
			d.key = maphash.String(seed, m.key)
		}
		bytes += d.size
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	restores := p.engine.returned.Len() > 0
	for i := range deliveries {
		d := &deliveries[i]
		if restores {
			if returned, ok := p.engine.returned.Get(d.Position); ok {
				d.state = &state{retryState: returned}
				p.engine.returned.Remove(d.Position)
			}
		}
		p.window = append(p.window, d)
	}
	p.bytes += bytes
	p.queueMore()
}

// Skip says that the next record has at least this offset: the log holds no other before it any more, or markers of transactions.
// So the group's commits go on behind these without a record that is handled there. epoch is the leader epoch of what is skipped;
// -1 = unknown.
func (p *Partition) Skip(to int64, epoch int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.window = append(p.window, &delivery{Position: Position{Offset: to - 1}, epoch: epoch, handled: true})
	p.queueMore()
	p.advance()
}

// queueMore queues the next events of the window, up to MaxBuffered from its front.
func (p *Partition) queueMore() {
	for ; !p.closed && p.queued < min(len(p.window), p.engine.options.MaxBuffered); p.queued++ {
		d := p.window[p.queued]
		if d.handled { // a gap, see Skip
			continue
		}
		q := p.queues[d.key]
		if q == nil {
			q = &keyQueue{first: d}
			p.queues[d.key] = q
			p.ready = append(p.ready, q)
		} else {
			q.last.next = d
		}
		d.queue, q.last = q, d
	}
	p.startWorker()
}

// Full reports whether the buffer is full: [Options.MaxBuffered] events or [Options.MaxBufferedBytes] from the first that is
// not handled to the last delivered. The caller then delivers no more until room is called, which is when half of that is
// left; until then Full stays true.
func (p *Partition) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = p.full || p.crowded()
	return p.full
}

// WaitForRoom waits while the buffer is full. It returns an error when ctx ends before that.
func (p *Partition) WaitForRoom(ctx context.Context) error {
	return p.await(ctx, func() (bool, error) {
		p.full = p.full || p.crowded()
		return !p.full, nil
	})
}

func (p *Partition) crowded() bool {
	return len(p.window) >= p.engine.options.MaxBuffered || p.bytes >= p.engine.options.MaxBufferedBytes
}

// blocked reports whether later events of the partition wait for those delivered: the caller fetches no more, or its mapping
// repeats everything after an event that an invocation returns.
func (p *Partition) blocked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crowded() || !p.end.IsZero()
}

// Handled is the offset to continue from: everything delivered before it is handled. epoch is the leader epoch of the
// record before it. ok is false while nothing is handled.
func (p *Partition) Handled() (offset int64, epoch int32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handled, p.epoch, p.handled > 0
}

var errUnhandled = errors.New("the delivery ended before all events were handled")

// Wait returns when everything delivered is handled. It returns an error when ctx ends or the partition is closed before
// that, or when nothing more can be done before its end.
func (p *Partition) Wait(ctx context.Context) error {
	return p.await(ctx, func() (bool, error) {
		late := !p.end.IsZero() && p.idle() && p.retrying == 0 // all that is left would be retried after the end
		if len(p.window) > 0 && (p.closed || late) {
			return true, errUnhandled
		}
		return len(p.window) == 0, nil
	})
}

func (p *Partition) idle() bool { return p.running == 0 && len(p.ready) == 0 }

// Close ends the delivery. Running handlers may finish until ctx is done and are cancelled then. Events before one that was
// begun are handled too, or a later owner of the partition would repeat that one; all others are dropped, those that wait
// for a retry among them. When Close returns no handler runs and Handled does not change any more. An error says that
// handlers were cancelled, or that one of them kept running for [Options.Grace] after that; then [Options.Overrun] was
// called.
func (p *Partition) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	for _, q := range p.queues {
		if q.retry != nil {
			q.retry.Stop()
		}
	}
	p.idleWorkers = 0
	p.work.Broadcast()
	p.changed.Broadcast()
	p.mu.Unlock()
	over := func() (bool, error) { return p.idle() || p.overrun != nil, nil }
	err := p.await(ctx, over)
	p.cancel()
	if err != nil {
		err = fmt.Errorf("%s/%d: handlers that were still running were cancelled: %w", p.engine.consumer.Topic, p.number, err)
		_ = p.await(context.Background(), over)
	}
	p.stopWatch()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.idle() {
		return p.overrun
	}
	p.giveBack()
	return err
}

// await waits until met, which is called with the lock held, returns true, and returns its error.
func (p *Partition) await(ctx context.Context, met func() (bool, error)) error {
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if met, err := met(); met {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.changed.Wait()
	}
}

// giveBack keeps the attempts of unhandled events for the next delivery and ends their traces.
func (p *Partition) giveBack() {
	for _, q := range p.queues {
		for d := q.first; d != nil; d = d.next {
			if d.state == nil {
				continue
			}
			if d.failures > 0 || !d.refusedSince.IsZero() {
				p.engine.returned.Add(d.Position,
					retryState{tries: d.tries, failures: d.failures, refusedSince: d.refusedSince, failed: d.failed})
			}
			if d.trace != nil {
				d.trace(Report{})
				d.trace = nil
			}
		}
	}
}

// next gives the worker its next event, and may wait for one. After Close it drops events that need not be handled.
func (p *Partition) next(w *worker) bool {
	for {
		for len(p.ready) > 0 {
			d := p.ready[0].first
			p.ready[0] = nil
			p.ready = p.ready[1:]
			if p.closed && (d.Offset > p.begun || p.ctx.Err() != nil) {
				continue
			}
			p.begun = max(p.begun, d.Offset)
			p.running++
			w.current = d
			p.startWorker()
			return true
		}
		if p.closed || p.idleWorkers == maxIdle {
			return false
		}
		p.idleWorkers++
		p.work.Wait()
	}
}

func (p *Partition) finish(d *delivery, handled bool, delay time.Duration) {
	q := d.queue
	switch {
	case p.overrun != nil:
	case handled:
		if q.first = d.next; q.first == nil {
			delete(p.queues, d.key)
		} else {
			p.ready = append(p.ready, q)
		}
		if !d.copied {
			*d.record.Load() = Record{} // releases its memory: others share its slice
		}
		*d = delivery{Position: d.Position, epoch: d.epoch, size: d.size, handled: true}
		p.advance()
	case !p.closed && (p.end.IsZero() || time.Now().Add(delay).Before(p.end)):
		p.retrying++
		q.retry = time.AfterFunc(delay, func() { p.retry(q) })
	}
}

func (p *Partition) retry(q *keyQueue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retrying--
	if !p.closed {
		p.ready = append(p.ready, q)
		p.startWorker()
	}
}

func (p *Partition) advance() {
	for len(p.window) > 0 && p.window[0].handled {
		d := p.window[0]
		p.handled, p.epoch = d.Offset+1, d.epoch
		p.bytes -= d.size
		p.queued = max(p.queued-1, 0) // a gap need not be queued
		p.window[0] = nil
		p.window = p.window[1:]
	}
	p.queueMore()
	o := &p.engine.options
	if p.full && len(p.window) <= o.MaxBuffered/2 && p.bytes <= o.MaxBufferedBytes/2 {
		p.full = false
		p.changed.Broadcast()
		if p.room != nil && !p.closed {
			go p.room()
		}
	}
}
