package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Partition delivers one partition. It holds the window of events from the first that is not handled on, in offset order,
// and a queue for each key in it.
type Partition struct {
	engine *Engine
	number int32
	room   func()    // may be nil
	opened time.Time // zero of the watchdog's clock
	end    time.Time // of the delivery, see [Engine.OpenUntil]; zero = none
	ctx    context.Context
	cancel context.CancelFunc // cancels all handlers

	stopWatch context.CancelFunc

	mu       sync.Mutex
	changed  sync.Cond // Wait or Close may return
	window   []*delivery
	bytes    int // of the window
	queued   int // events of the window, from the front, that are in their key's queue
	queues   map[string]*keyQueue
	ready    []*keyQueue // whose first event may run, first in, first out
	retrying int         // key queues that wait for a retry
	workers  []*worker
	running  int   // workers that have an event
	begun    int64 // the highest offset that was; -1 = none
	handled  int64 // the offset after the last event handled with all before it; 0 = none
	epoch    int32 // of that event's record
	full     bool  // Full has returned true since there was room
	closed   bool
	final    bool  // Close has returned without some handlers
	overtime int   // ticks since cancel, see [Partition.watch]
	overrun  error // from then on Close waits for no handler
}

// Deliver takes the next records of the partition, in offset order, and does not wait for their handlers. It keeps the
// slice.
func (p *Partition) Deliver(records []Record) {
	deliveries, bytes := make([]delivery, len(records)), 0
	for i := range records {
		d, r := &deliveries[i], &records[i]
		d.record, d.size, d.key = r, r.size(), string(r.Key)
		if d.key == "" { // the TypeScript app writes none: the event's own orders it
			m, _ := p.engine.consumer.decode(r)
			d.key = m.key
		}
		bytes += d.size
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.engine.attempts.restore(deliveries)
	for i := range deliveries {
		p.window = append(p.window, &deliveries[i])
	}
	p.bytes += bytes
	p.queueMore()
}

// queueMore queues the next events of the window, up to MaxBuffered from its front.
func (p *Partition) queueMore() {
	for ; !p.closed && p.queued < min(len(p.window), p.engine.options.MaxBuffered); p.queued++ {
		d := p.window[p.queued]
		q := p.queues[d.key]
		if q == nil {
			q = &keyQueue{}
			p.queues[d.key] = q
			p.ready = append(p.ready, q)
		}
		q.push(d)
	}
	p.startWorkers()
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

var (
	errClosed = errors.New("the partition was closed before all events were handled")
	errNoTime = errors.New("the remaining events cannot be retried before the deadline")
)

// Wait returns when everything delivered is handled. It returns an error when ctx ends or the partition is closed before
// that, or when [Engine.OpenUntil] opened it and nothing more can be done in time.
func (p *Partition) Wait(ctx context.Context) error {
	if err := p.await(ctx, func() bool { return len(p.window) == 0 || p.closed || p.stuck() }); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.window) == 0:
		return nil
	case p.closed:
		return errClosed
	}
	return errNoTime
}

// stuck reports whether all that is left would be retried after the end.
func (p *Partition) stuck() bool {
	return !p.end.IsZero() && p.idle() && p.retrying == 0
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
	p.changed.Broadcast()
	p.mu.Unlock()
	over := func() bool { return p.idle() || p.overrun != nil }
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
		p.final = true
		return p.overrun
	}
	p.giveBack()
	return err
}

// await waits until met, which is called with the lock held, returns true.
func (p *Partition) await(ctx context.Context, met func() bool) error {
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !met() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.changed.Wait()
	}
	return nil
}

// giveBack keeps the attempts of unhandled events for the next delivery and ends their traces.
func (p *Partition) giveBack() {
	for _, q := range p.queues {
		for d := q.first; d != nil; d = d.next {
			p.engine.attempts.keep(d)
			if d.trace != nil {
				d.trace.Returned()
				d.trace = nil
			}
		}
	}
}

// next gives the worker its next event. After Close it drops events that need not be handled.
func (p *Partition) next(w *worker) bool {
	for len(p.ready) > 0 {
		d := p.ready[0].first
		p.ready[0] = nil
		p.ready = p.ready[1:]
		if p.closed && (d.record.Offset > p.begun || p.ctx.Err() != nil) {
			continue
		}
		p.begun = max(p.begun, d.record.Offset)
		p.running++
		w.current = d
		return true
	}
	if p.closed {
		p.changed.Broadcast()
	}
	return false
}

// finish records a try of an event: it is handled, or retried after a delay. It reports whether room is due.
func (p *Partition) finish(d *delivery, handled bool, delay time.Duration) (room bool) {
	q := d.queue
	switch {
	case p.final: // too late to count
	case handled:
		if q.first = d.next; q.first == nil {
			delete(p.queues, d.key)
		} else {
			p.ready = append(p.ready, q)
		}
		*d.record = Record{Offset: d.record.Offset, LeaderEpoch: d.record.LeaderEpoch} // releases the rest
		*d = delivery{record: d.record, size: d.size, handled: true}
		return p.advance()
	case !p.closed && (p.end.IsZero() || time.Now().Add(delay).Before(p.end)):
		p.retrying++
		q.retry = time.AfterFunc(delay, func() { p.retry(q) })
	}
	return false
}

// retry makes a key queue ready after its delay.
func (p *Partition) retry(q *keyQueue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retrying--
	if !p.closed {
		p.ready = append(p.ready, q)
		p.startWorkers()
	}
}

// advance moves the window past the handled events at its front and reports whether room is due.
func (p *Partition) advance() (room bool) {
	for len(p.window) > 0 && p.window[0].handled {
		d := p.window[0]
		p.handled, p.epoch = d.record.Offset+1, d.record.LeaderEpoch
		p.bytes -= d.size
		p.queued--
		p.window[0] = nil
		p.window = p.window[1:]
	}
	p.queueMore()
	o := &p.engine.options
	if !p.full || len(p.window) > o.MaxBuffered/2 || p.bytes > o.MaxBufferedBytes/2 {
		return false
	}
	p.full = false
	return p.room != nil && !p.closed
}

// State describes a partition in delivery.
type State struct {
	Buffered int       // events from the first that is not handled to the last delivered
	Oldest   time.Time // the timestamp of the first that is not handled; zero = there is none
}

// State returns the partition's state.
func (p *Partition) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Buffered: len(p.window)}
	if len(p.window) > 0 {
		s.Oldest = p.window[0].record.Timestamp
	}
	return s
}
