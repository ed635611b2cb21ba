package bus

import (
	"context"
	"errors"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
)

// Tracer follows events through their consumer. Its methods are called from several goroutines at once.
type Tracer interface {
	// Begin is called before the first try of an event. The context is that of every try, and of the dead letter; the
	// record is the tracer's until Begin returns. eventID is "" if the record cannot be decoded.
	Begin(ctx context.Context, group, eventID string, r *Record) (context.Context, Trace)
}

// Trace follows one event, from one goroutine at a time.
type Trace interface {
	Tried(Report) // after each try; the last is done or rejected
	Returned()    // instead of that: the partition was closed, and whoever takes it next begins anew
}

// traced is what a tracer made of an event.
type traced struct {
	context context.Context
	trace   Trace // nil = none, or over
}

// context is what the event's handler works under: the partition's own, with the trace that the event came with.
func (w *worker) context() context.Context {
	ctx, d := w.partition.ctx, w.current
	if d.trouble != nil && d.traced.context != nil {
		return d.traced.context
	}
	for _, h := range d.record.Headers {
		if h.Key == trace.Header {
			if parent, ok := trace.Parse(string(h.Value)); ok {
				ctx = trace.With(ctx, parent)
			}
			break
		}
	}
	if e := w.partition.engine; e.options.Tracer != nil {
		t := d.troubled()
		t.traced.context, t.traced.trace = e.options.Tracer.Begin(ctx, e.consumer.Group, d.eventID, d.record)
		ctx = t.traced.context
	}
	return ctx
}

// report reports the outcome of a try.
func (e *Engine) report(w *worker, outcome Outcome, err error) {
	d := w.current
	var followed Trace
	if d.trouble != nil {
		followed = d.traced.trace
	}
	p, _ := errors.AsType[*events.Panic](err)
	if e.options.Report == nil && followed == nil && p == nil {
		return
	}
	r := Report{
		Context: w.ctx,
		Topic:   d.record.Topic, Partition: d.record.Partition, Offset: d.record.Offset, EventID: d.eventID,
		Outcome: outcome, Attempt: d.tries, Took: w.now - w.began,
	}
	if d.trouble != nil {
		r.DeadLetterFailures = d.unkept
	}
	if outcome == Rejected {
		r.Class = classOf(err)
	}
	r.Err = err
	if p != nil && !r.DeadLetterOnly() {
		r.Stack = string(p.Stack)
	}
	if followed != nil {
		if outcome == Done || outcome == Rejected {
			d.traced.trace = nil
		}
		followed.Tried(r)
	}
	switch {
	case e.options.Report != nil:
		e.options.Report(r)
	case r.Stack != "":
		Log(e.options.Logger, e.consumer.Group)(r)
	}
}

// giveBack ends the traces of events that were tried and are not handled, once no handler runs, and keeps in mind how often
// they have failed.
func (p *Partition) giveBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.final {
		return
	}
	for _, l := range p.lanes {
		for d := l.head; d != nil; d = d.next { // one behind the first may have failed in a delivery before this
			p.engine.memory.keep(d)
		}
		if d := l.head; d != nil && d.trouble != nil && d.traced.trace != nil {
			d.traced.trace.Returned()
			d.traced.trace = nil
		}
	}
}

// Stalled reports whether the engine takes what fails for an outage, see [Engine].
func (e *Engine) Stalled() bool {
	if !e.breaker.trouble.Load() {
		return false
	}
	e.breaker.mu.Lock()
	defer e.breaker.mu.Unlock()
	return e.breaker.stalled
}

// State is a look at a partition in delivery.
type State struct {
	Buffered, Bytes int       // from the first that is not handled to the last delivered
	Running         int       // handlers
	Oldest          time.Time // the timestamp of the first that is not handled; zero = there is none, or it is being decoded
	Handled         int64     // see [Partition.Handled]; 0 = nothing yet
}

// State looks at the partition.
func (p *Partition) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Buffered: p.count, Bytes: p.bytes, Running: p.running, Handled: p.handled}
	switch {
	case p.front != nil:
		s.Oldest = p.front.deliveries[p.front.handled].record.Timestamp
	case !p.decoding && len(p.inbox) > 0:
		s.Oldest = p.inbox[0][0].Timestamp
	}
	return s
}
