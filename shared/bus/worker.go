package bus

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// worker is a goroutine that does what there is to do in a partition: it runs the first events of ready lanes, decodes
// more when no lane is ready, and ends when there is neither.
type worker struct {
	partition *Partition
	current   *delivery       // nil = in no handler
	ctx       context.Context // of current
	began     time.Duration   // the try of current, on the partition's clock
	now       time.Duration   // the end of the last try; 0 = long ago
	handling  atomic.Bool     // its handler runs: it does not while what became of it is reported, or its dead letter is written
	exited    bool            // the handler of current ended the goroutine
}

func (w *worker) work() {
	p := w.partition
	defer func() {
		if w.exited {
			go w.work() // in place of this goroutine
		}
	}()
	p.mu.Lock()
	for w.current != nil || p.occupy(w) {
		p.mu.Unlock()
		pause := w.try()
		p.mu.Lock()
		p.settle(w, pause)
	}
	p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
	if p.closed || p.stuck() {
		p.idle.Broadcast()
	}
	p.mu.Unlock()
}

// occupy finds the worker its next event, decoding more of them if it must. Without any it is false.
func (p *Partition) occupy(w *worker) bool {
	for {
		if l := p.ready.pop(); l != nil {
			if p.closed && (l.head.record.Offset > p.reached || p.ctx.Err() != nil) {
				continue // let go
			}
			p.reached = max(p.reached, l.head.record.Offset)
			if w.now == 0 {
				w.now = p.clock()
			}
			w.current, w.ctx, w.began = l.head, p.ctx, w.now
			p.running++
			p.share()
			return true
		}
		if p.closed || p.decoding || len(p.inbox) == 0 {
			return false
		}
		p.decodeSome()
		w.now = 0
	}
}

// clock is the time since the partition was opened. It costs half of what time.Now does.
func (p *Partition) clock() time.Duration { return time.Since(p.opened) }

// limit is when the handler's time is up, on the partition's clock.
func (w *worker) limit() time.Duration {
	return min(w.began+w.partition.engine.options.HandlerTimeout, w.partition.end)
}

// settle books the end of a try. A pause means that the event is tried again after it; otherwise it is handled.
func (p *Partition) settle(w *worker, pause time.Duration) {
	d := w.current
	l := d.lane
	switch {
	case p.final: // too late to count
	case pause == 0:
		l.head = d.next
		if l.head == nil {
			delete(p.lanes, d.key)
			p.spare.keepLane(l)
		} else {
			p.ready.push(l)
		}
		p.advance(d)
		p.makeRoom()
	case !p.closed && pause < p.end-p.clock():
		p.retrying++
		l.retry = time.AfterFunc(pause, func() { p.resume(l) })
	}
	w.current = nil
	p.running--
	p.pace(w.now - w.began)
	if o := &p.engine.options; o.Report != nil || o.Tracer != nil {
		w.now = 0 // whom it was told may have taken their time, which is not the next handler's
	}
	if p.count == 0 || p.closed {
		p.idle.Broadcast()
	}
}

// advance moves the window past what is handled at its front.
func (p *Partition) advance(d *delivery) {
	done := delivery{size: d.size, handledAt: d.record.Offset + 1, epoch: d.record.LeaderEpoch}
	*d.record = Record{} // the records of one Deliver share a slice: let go of what is handled
	*d = done
	for c := p.front; c != nil; c = p.front {
		for c.handled < c.used && c.deliveries[c.handled].handledAt > 0 {
			p.handled, p.epoch = c.deliveries[c.handled].handledAt, c.deliveries[c.handled].epoch
			p.bytes -= c.deliveries[c.handled].size
			p.count--
			c.handled++
		}
		if c.handled < c.used {
			return
		}
		p.front = c.behind
		p.spare.keepChunk(c)
	}
}

// makeRoom tells that a partition that was full has room again. It gives up the lock for the call; the worker counts as
// running meanwhile, so that Close waits for the call.
func (p *Partition) makeRoom() {
	o := &p.engine.options
	if !p.full || p.count > o.MaxBuffered/2 || p.bytes > o.MaxBufferedBytes/2 {
		return
	}
	p.full = false
	if p.room == nil || p.closed {
		return
	}
	p.hire()
	p.mu.Unlock()
	p.room()
	p.mu.Lock()
}

// resume lets a lane go on after its pause.
func (p *Partition) resume(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retrying--
	if !p.closed {
		p.ready.push(l)
		p.share()
	}
}
