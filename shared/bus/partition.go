package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Partition is the delivery of one partition: a window of the events in hand, in offset order, and a lane per key.
type Partition struct {
	engine *Engine
	number int32
	room   func() // may be nil
	opened time.Time
	end    time.Duration   // when the delivery ends, on the clock; see [Engine.OpenUntil]
	ctx    context.Context // of all handlers; ends when the partition is abandoned
	cancel context.CancelFunc

	mu       sync.Mutex
	idle     sync.Cond  // nothing in hand, nothing left to do before the end, or closed and no handler running
	inbox    [][]Record // not decoded yet
	decoding bool       // a worker is decoding; one at a time does, so order is kept
	front    *chunk     // of the window: decoded, from the first event that is not handled
	back     *chunk
	lanes    map[string]*lane
	spare    spare
	ready    queue       // lanes whose first event may run
	retrying int         // lanes that wait for a retry
	workers  []*worker   // at most Options.Concurrency
	running  int         // of those, the ones that have an event
	quick    int         // tries lately that were over in no time
	alarm    *time.Timer // rings for those that are not
	alarmed  bool
	count    int   // events in hand: in the window and the inbox
	bytes    int   // of those
	reached  int64 // the highest offset that was begun; -1 = none
	handled  int64 // the offset behind the last handled event; 0 = none yet
	epoch    int32 // of the last handled event's record
	full     bool  // Full was answered with true since there was room
	closed   bool
	final    bool // Close has returned
}

// Deliver takes the next records of the partition, in offset order, and returns at once. The slice is the partition's
// from then on.
func (p *Partition) Deliver(records []Record) {
	if len(records) == 0 {
		return
	}
	bytes := 0
	for i := range records {
		bytes += records[i].size()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.count += len(records)
	p.bytes += bytes
	p.inbox = append(p.inbox, records)
	p.share()
}

// Full reports whether enough is in hand: [Options.MaxBuffered] events or [Options.MaxBufferedBytes] from the first that is not
// handled to the last delivered. Whoever feeds the partition then stops until room is called, which is when half of
// that is left; until then the answer stays true.
func (p *Partition) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count >= p.engine.options.MaxBuffered || p.bytes >= p.engine.options.MaxBufferedBytes {
		p.full = true
	}
	return p.full
}

// blocked reports whether later events wait for those in hand: the buffer is full, or the delivery is one invocation, whose
// mapping repeats all that follows an event that it returns.
func (p *Partition) blocked() bool {
	o := &p.engine.options
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end != never || p.count >= o.MaxBuffered || p.bytes >= o.MaxBufferedBytes
}

// Handled is the offset to go on from: everything delivered before it is handled. epoch is the leader epoch of the record
// before it. ok is false while nothing is handled.
func (p *Partition) Handled() (offset int64, epoch int32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handled, p.epoch, p.handled > 0
}

var (
	errClosed = errors.New("the partition was closed before all was handled")
	errNoTime = errors.New("what is not handled could be tried again only after the end of the delivery")
)

// Wait returns when everything delivered has been handled; with ctx's error, or with one if the partition is closed
// before that, or opened by [Engine.OpenUntil] and nothing more can be done in time.
func (p *Partition) Wait(ctx context.Context) error {
	if err := p.await(ctx, func() bool { return p.count == 0 || p.closed || p.stuck() }); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.count == 0:
		return nil
	case p.closed:
		return errClosed
	}
	return errNoTime
}

// stuck reports whether all that is left waits for a retry that will not come before the end.
func (p *Partition) stuck() bool {
	return p.end != never && p.running == 0 && p.retrying == 0 && p.ready.first == nil && !p.decoding && len(p.inbox) == 0
}

// Close ends the delivery: events that a handler has begun are finished if they can be before ctx is done, and abandoned
// otherwise, which every handler that heeds its context does at once. So are those that stand before one that was begun,
// or what is handled already would come again. All others are let go, and those that wait for a retry. When it returns
// no handler runs and Handled does not change any more. An error says that handlers were abandoned, or that one of them
// did not end even so (and [Options.Overrun] was called).
func (p *Partition) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.inbox = nil
	for _, l := range p.lanes {
		if l.retry != nil {
			l.retry.Stop()
		}
	}
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.hire()
	p.idle.Broadcast()
	p.mu.Unlock()
	defer p.giveBack()
	quiet := func() bool { return !p.decoding && p.running == 0 && p.ready.first == nil }
	err := p.await(ctx, quiet)
	p.cancel()
	if err == nil {
		return nil
	}
	grace, cancel := context.WithTimeout(context.Background(), p.engine.options.Grace)
	defer cancel()
	if p.await(grace, quiet) == nil {
		return fmt.Errorf("%s/%d: abandoned handlers that were still running: %w", p.engine.consumer.Topic, p.number, err)
	}
	p.mu.Lock()
	p.final = true
	p.mu.Unlock()
	err = fmt.Errorf("%s/%d: a handler goes on %s after it was cancelled", p.engine.consumer.Topic, p.number, p.engine.options.Grace)
	p.engine.options.Overrun(err)
	return err
}

func (p *Partition) await(ctx context.Context, met func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.idle.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !met() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.idle.Wait()
	}
	return nil
}

// decodeSome puts the next records of the inbox into their lanes. It gives up the lock while it decodes.
func (p *Partition) decodeSome() {
	records := p.inbox[0]
	if len(records) > chunkSize {
		records, p.inbox[0] = records[:chunkSize], records[chunkSize:]
	} else {
		p.inbox[0] = nil
		p.inbox = p.inbox[1:]
	}
	c := p.spare.chunk()
	p.decoding = true
	p.mu.Unlock()
	p.engine.decode(records, c)
	p.mu.Lock()
	p.decoding = false
	if p.closed {
		for i := range c.used {
			p.engine.memory.keep(&c.deliveries[i])
		}
		p.idle.Broadcast()
		return
	}
	if p.front == nil {
		p.front = c
	} else {
		p.back.behind = c
	}
	p.back = c
	for i := range c.used {
		d := &c.deliveries[i]
		l := p.lanes[d.key]
		if l == nil {
			l = p.spare.lane()
			p.lanes[d.key] = l
			p.ready.push(l)
		}
		l.append(d)
	}
}

func (e *Engine) decode(records []Record, c *chunk) {
	c.used = len(records)
	e.consumer.decode(records, c)
	for i := range records {
		d, r := &c.deliveries[i], &records[i]
		d.record, d.size = r, r.size()
		// A record without a Kafka key, as the TypeScript app writes them, is ordered by what it is about.
		if len(r.Key) > 0 && string(r.Key) != d.key {
			d.key = string(r.Key)
		}
		e.memory.restore(d)
	}
}
