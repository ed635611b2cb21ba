package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
)

// worker is a goroutine that handles the first events of ready key queues until none is ready.
type worker struct {
	partition *Partition
	current   *delivery // nil = none
	began     time.Time // the try of current

	deadline atomic.Int64 // of the running handler, since the partition was opened; 0 = none runs
	late     int64        // the deadline that had passed at the last tick of the watchdog
	overtime int          // ticks since then
}

// startWorkers starts a worker for each ready key queue that none is about to take.
func (p *Partition) startWorkers() {
	for len(p.workers) < p.engine.options.Concurrency && len(p.ready) > len(p.workers)-p.running {
		w := &worker{partition: p}
		p.workers = append(p.workers, w)
		go w.run()
	}
}

func (w *worker) run() {
	p := w.partition
	p.mu.Lock()
	for p.next(w) {
		p.mu.Unlock()
		handled, delay := w.try()
		p.mu.Lock()
		if p.finish(w.current, handled, delay) {
			p.mu.Unlock()
			p.room()
			p.mu.Lock()
		}
		w.current = nil
		p.running--
		if len(p.window) == 0 || p.closed || p.stuck() {
			p.changed.Broadcast()
		}
	}
	p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
	p.mu.Unlock()
}

// try handles the event once. Unless it is handled then, it is to be retried after delay.
func (w *worker) try() (handled bool, delay time.Duration) {
	e, d := w.partition.engine, w.current
	w.began = time.Now()
	outcome, err := Rejected, d.verdict
	if err == nil {
		err = w.handle()
		outcome, err = w.judge(err)
	}
	if outcome == Rejected {
		d.verdict = err
		if failed := w.reject(err); failed != nil {
			d.deadLetterFailures++
			outcome, err = Unavailable, fmt.Errorf("the dead letter cannot be written: %w; its reason: %w", failed, err)
		}
	}
	w.report(outcome, err)
	if outcome == Done || outcome == Rejected {
		return true, 0
	}
	return false, d.delay(err, &e.options)
}

// handle decodes the event and runs its handler.
func (w *worker) handle() (err error) {
	p, d := w.partition, w.current
	d.tries++
	if d.event == nil {
		d.message, err = p.engine.consumer.decode(d.record)
	}
	w.begin()
	if err != nil {
		return err
	}
	deadline := p.deadline(w.began)
	ctx, cancel := context.WithDeadline(d.ctx, deadline)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			w.deadline.Store(0)
			err = events.Recovered(value)
		}
	}()
	w.deadline.Store(int64(deadline.Sub(p.opened)))
	err = p.engine.consumer.handle(ctx, d.event)
	w.deadline.Store(0) // not deferred: a handler that ends its goroutine, by runtime.Goexit, is an overrun
	return err
}

// deadline is that of a handler or dead letter begun at a time.
func (p *Partition) deadline(began time.Time) time.Time {
	deadline := began.Add(p.engine.options.HandlerTimeout)
	if !p.end.IsZero() && p.end.Before(deadline) {
		return p.end
	}
	return deadline
}

// begin sets the context of the event's handlers: the partition's, with the trace that the record carries.
func (w *worker) begin() {
	e, d := w.partition.engine, w.current
	if d.ctx != nil {
		return
	}
	d.ctx = w.partition.ctx
	i := slices.IndexFunc(d.record.Headers, func(h Header) bool { return h.Key == trace.Header })
	if i >= 0 {
		if parent, ok := trace.Parse(string(d.record.Headers[i].Value)); ok {
			d.ctx = trace.With(d.ctx, parent)
		}
	}
	if e.options.Tracer != nil {
		d.ctx, d.trace = e.options.Tracer.Begin(d.ctx, e.consumer.Group, d.eventID, d.record)
	}
}

// judge adds to the table of outcomes what depends on earlier tries and on other events.
func (w *worker) judge(err error) (Outcome, error) {
	p, e, d := w.partition, w.partition.engine, w.current
	outcome := outcomeOf(err)
	switch outcome {
	case Done:
		if e.breaker.succeeded() {
			e.options.Logger.InfoContext(d.ctx, "no longer stalled: an event succeeded",
				"topic", e.consumer.Topic, "group", e.consumer.Group)
		}
	case Failed:
		if p.ctx.Err() != nil || !p.end.IsZero() && !time.Now().Before(p.end) {
			return Unavailable, err // it may have failed only because it was cancelled
		}
		if !e.breaker.failed(d.position()) {
			if d.failures++; d.failures >= e.options.Attempts {
				return Rejected, err
			}
		} else if d.tries >= e.options.Attempts && e.breaker.stall() {
			e.options.Logger.ErrorContext(d.ctx,
				"stalled: different events fail in a row for an unknown reason; none is rejected until one succeeds",
				"topic", e.consumer.Topic, "group", e.consumer.Group, "in_a_row", e.options.StallAfter)
		}
	case Unavailable:
		if refused, ok := errors.AsType[*events.Error](err); ok && refused.EventOnly {
			if d.refusedSince.IsZero() {
				d.refusedSince = time.Now()
			}
			if !e.breaker.outage() && d.expired(p.blocked(), e.options.GiveUpAfter) {
				return Rejected, fmt.Errorf("given up, refused since %s: %w", d.refusedSince.UTC().Format(time.RFC3339), err)
			}
		}
	}
	return outcome, err
}

// reject writes the dead letter.
func (w *worker) reject(verdict error) error {
	p, d := w.partition, w.current
	reason := events.LogText(verdict.Error())
	if len(reason) > 1000 {
		reason = strings.ToValidUTF8(reason[:1000], "")
	}
	ctx, cancel := context.WithDeadline(d.ctx, p.deadline(time.Now()))
	defer cancel()
	return p.engine.deadLetters.Write(ctx, DeadLetter{
		Record: *d.record, Consumer: p.engine.consumer.Group, Class: classOf(verdict), Reason: reason,
		Attempts: d.tries, At: time.Now(),
	})
}

// report reports the outcome of the try.
func (w *worker) report(outcome Outcome, err error) {
	e, d := w.partition.engine, w.current
	p, panicked := errors.AsType[*events.Panic](err)
	if e.options.Report == nil && d.trace == nil && !panicked {
		return
	}
	r := Report{
		Context: d.ctx,
		Topic:   d.record.Topic, Partition: d.record.Partition, Offset: d.record.Offset, EventID: d.eventID,
		Outcome: outcome, Attempt: d.tries, DeadLetterFailures: d.deadLetterFailures, Took: time.Since(w.began), Err: err,
	}
	if outcome == Rejected {
		r.Class = classOf(err)
	}
	if panicked && !r.DeadLetterOnly() {
		r.Stack = string(p.Stack)
	}
	if d.trace != nil {
		d.trace.Tried(r)
		if outcome == Done || outcome == Rejected {
			d.trace = nil
		}
	}
	if e.options.Report != nil {
		e.options.Report(r)
	} else if r.Stack != "" {
		Log(e.options.Logger, e.consumer.Group)(r)
	}
}
