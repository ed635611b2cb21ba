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
	spare     *state    // for an event without one

	began  time.Time        // the try of current
	parent context.Context  // of ctx
	ctx    *context.Context // of the last try, see within
	cancel context.CancelFunc
	made   time.Time // ctx

	running  atomic.Pointer[context.Context] // of the running handler or write of a dead letter; nil = none runs
	late     *context.Context                // the one that was over at the last tick of the watchdog
	overtime int                             // ticks since then
}

// maxIdle is how many workers of a partition wait for its next events: to start one and to grow its stack takes longer than to
// dispatch several.
const maxIdle = 16

// startWorker wakes or starts a worker if a key queue is ready and none is about to take it. That one starts the next: handlers
// that never wait then share few workers.
func (p *Partition) startWorker() {
	switch {
	case len(p.ready) == 0 || len(p.workers) > p.running+p.idleWorkers:
	case p.idleWorkers > 0:
		p.idleWorkers--
		p.work.Signal()
	case len(p.workers) < p.engine.options.Concurrency:
		w := &worker{partition: p, cancel: func() {}}
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
		tried := w.current.state
		if p.finish(w.current, handled, delay); w.current.handled {
			*tried = state{message: message{event: tried.event}} // handlers have copies of it
			w.spare = tried
		}
		w.current = nil
		p.running--
		p.changed.Broadcast()
	}
	w.cancel()
	p.changed.Broadcast() // after Close, next drops events
	p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
	p.mu.Unlock()
}

// try handles the event once. Unless it is handled then, it is to be retried after delay.
func (w *worker) try() (handled bool, delay time.Duration) {
	e, d := w.partition.engine, w.current
	w.began = time.Now()
	if w.spare == nil {
		w.spare = &state{}
	}
	if d.state == nil {
		d.state, w.spare = w.spare, nil
	}
	if !d.record.Load().RedrivenFor(e.consumer.Group) {
		return true, 0
	}
	outcome, err := Rejected, d.verdict
	if err == nil {
		if err = w.handle(); err != nil {
			d.note(w.began)
		}
		outcome, err = w.judge(err)
	}
	if outcome == Rejected {
		d.verdict = err
		if failed := w.reject(err); failed != nil {
			d.deadLetterFailures++
			outcome, err = Unavailable, fmt.Errorf("the dead letter cannot be written: %w; its reason: %w", failed, err)
		}
		// failpoint: dead-letter-sent w, string(outcome)
	}
	if d.trace != nil || e.options.Report != nil {
		d.report(outcome, err, time.Since(w.began), e.options.Report)
	}
	if outcome == Done || outcome == Rejected {
		// failpoint: ended w, string(outcome)
		return true, 0
	}
	return false, d.delay(err, &e.options)
}

func (d *delivery) report(outcome Outcome, err error, took time.Duration, report func(Report)) {
	r := Report{
		Context: d.ctx, Position: d.Position, EventID: d.eventID, Outcome: outcome, Attempt: d.tries,
		DeadLetterFailures: d.deadLetterFailures, Took: took, Err: err,
	}
	if outcome == Rejected {
		r.Class = classOf(err)
	}
	if d.trace != nil {
		d.trace(r)
	}
	if report != nil {
		report(r)
	}
}

func (w *worker) handle() (err error) {
	e, d := w.partition.engine, w.current
	d.tries++
	if d.ctx == nil {
		d.message, err = e.consumer.decode(d.record.Load(), d.event)
		w.begin()
	}
	// failpoint: decoded w
	if err != nil {
		return err
	}
	defer func() {
		if value := recover(); value != nil {
			w.running.Store(nil)
			err = events.Recovered(value)
		}
	}()
	return w.within(w.began, func(ctx context.Context) error { return e.consumer.handle(ctx, d.event) })
}

// begin sets the context of the event's handlers: the partition's, with the trace that the record carries.
func (w *worker) begin() {
	e, d := w.partition.engine, w.current
	d.ctx = w.partition.ctx
	record := d.record.Load()
	if text := record.Header(trace.Header); text != nil {
		if parent, ok := trace.Parse(string(text)); ok {
			d.ctx = trace.With(d.ctx, parent)
		}
	}
	if e.options.Tracer != nil {
		d.ctx, d.trace = e.options.Tracer(d.ctx, e.consumer.Group, d.eventID, record)
	}
}

// within runs f under the watchdog from now on, with the deadline of a handler or dead letter. Events that no trace follows share
// a context for up to a hundredth of the timeout: making one takes longer than dispatching an event.
func (w *worker) within(now time.Time, f func(context.Context) error) error {
	timeout := w.partition.engine.options.HandlerTimeout
	if w.parent != w.current.ctx || (*w.ctx).Err() != nil || now.Sub(w.made) > timeout/100 {
		w.cancel()
		deadline := now.Add(timeout)
		if end := w.partition.end; !end.IsZero() && end.Before(deadline) {
			deadline = end
		}
		w.parent, w.made = w.current.ctx, now
		var ctx context.Context
		ctx, w.cancel = context.WithDeadline(w.parent, deadline)
		w.ctx = &ctx
	}
	returned := false
	defer func() {
		if !returned {
			w.cancel()
		}
	}()
	w.running.Store(w.ctx)
	err := f(*w.ctx)
	returned = true
	w.running.Store(nil) // not deferred: a handler that ends its goroutine, by runtime.Goexit, is an overrun
	return err
}

// judge adds to the table of outcomes what depends on earlier tries and on other events.
func (w *worker) judge(err error) (Outcome, error) {
	p, e, d := w.partition, w.partition.engine, w.current
	outcome := outcomeOf(err)
	switch outcome {
	case Done:
		if e.breaker.succeeded(w.began) {
			e.options.Logger.InfoContext(d.ctx, "no longer stalled: an event succeeded")
		}
	case Failed:
		if p.ctx.Err() != nil || !p.end.IsZero() && !time.Now().Before(p.end) {
			return Unavailable, err // it may have failed only because it was cancelled
		}
		outage, stalls := e.breaker.failed(d.Position, d.tries >= e.options.Attempts)
		if stalls {
			e.options.Logger.ErrorContext(d.ctx,
				"stalled: different events fail in a row for an unknown reason; none is rejected until one succeeds",
				"in_a_row", e.options.StallAfter)
		}
		if outage {
			break
		}
		if d.failures++; d.failures >= e.options.Attempts {
			return Rejected, err
		}
	case Unavailable:
		if refused, ok := errors.AsType[*events.Error](err); ok && refused.EventOnly {
			if d.refusedSince.IsZero() {
				d.refusedSince = time.Now()
			}
			if e.breaker.proven() && d.expired(p.blocked(), e.options.GiveUpAfter) {
				return Rejected, fmt.Errorf("given up, refused since %s: %w", d.refusedSince.UTC().Format(time.RFC3339), err)
			}
		}
	}
	return outcome, err
}

func (w *worker) reject(verdict error) error {
	e, d := w.partition.engine, w.current
	reason := events.LogText(verdict.Error())
	if len(reason) > 1000 {
		reason = strings.ToValidUTF8(reason[:1000], "")
	}
	return w.within(time.Now(), func(ctx context.Context) error {
		return e.deadLetters.Write(ctx, DeadLetter{Record: *d.record.Load(), Consumer: e.consumer.Group, Class: classOf(verdict),
			Reason: reason, Attempts: d.tries, LastAttempts: d.failed, At: time.Now()})
	})
}

// graceTicks divides [Options.Grace] into ticks. The watchdog counts ticks instead of time: a ticker drops those that fall
// into a time in which the process was suspended (a stopped process, a laptop asleep, a paused VM), so a handler that had
// no chance to notice its deadline keeps its grace period.
const graceTicks = 10

// watch calls Overrun when a handler continues for the grace period after its deadline, or after Close cancelled it.
func (p *Partition) watch(ctx context.Context) {
	ticker := time.NewTicker(max(p.engine.options.Grace/graceTicks, 1))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := p.tick(); err != nil {
			p.engine.options.Overrun(err)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.overrun = err
			p.changed.Broadcast()
			return
		}
	}
}

// tick copies the records that still wait out of what was fetched. It counts one tick against each handler that is late, and
// returns an error for one that has used up its grace period.
func (p *Partition) tick() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.window {
		if !d.handled && !d.copied {
			d.record.Store(d.record.Load().Clone())
			d.copied = true
		}
	}
	for _, w := range p.workers {
		ctx := w.running.Load()
		if ctx == nil || (*ctx).Err() == nil {
			continue
		}
		if ctx != w.late {
			w.late, w.overtime = ctx, 0
		}
		if w.overtime++; w.overtime >= graceTicks {
			return fmt.Errorf("%s/%d: the handler of event %s ignores its deadline or cancellation: it is still running %s after it",
				p.engine.consumer.Topic, p.number, w.current.eventID, p.engine.options.Grace)
		}
	}
	return nil
}
