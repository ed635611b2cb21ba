package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sipeat/sipeat/shared/events"
)

// try handles the worker's event once. The pause it returns is how long to wait before the next try; 0 = the event is
// handled.
func (w *worker) try() (pause time.Duration) {
	e, d := w.partition.engine, w.current
	outcome, err := Rejected, d.decided()
	if err == nil {
		err = w.handle()
		outcome = e.judge(w.ctx, d, err, w.abandoned())
		if outcome == Unavailable {
			if reason := e.giveUp.due(d, err, w.partition.blocked(), e.options.GiveUpAfter); reason != nil {
				outcome, err = Rejected, reason
			}
		}
	}
	if outcome == Rejected {
		d.troubled().verdict = err
		if failed := w.reject(err); failed != nil {
			d.unkept++
			outcome, err = Unavailable, fmt.Errorf("the dead letter cannot be written: %w; it says: %w", failed, err)
		}
		w.now = w.partition.clock()
	}
	e.report(w, outcome, err)
	if outcome == Done || outcome == Rejected {
		return 0
	}
	return e.pause(d, err)
}

// decided is why the event was rejected, if that is decided and only its dead letter is missing.
func (d *delivery) decided() error {
	if d.trouble == nil {
		return nil
	}
	return d.verdict
}

// abandoned reports whether the partition was given up, or its end cut the handler short: whoever takes it next begins with
// this event.
func (w *worker) abandoned() bool {
	return w.partition.ctx.Err() != nil || w.now >= w.partition.end
}

var errExited = &events.Panic{Text: "the handler ended its goroutine (runtime.Goexit)"}

// handle runs the handler, if there is anything for it.
func (w *worker) handle() (err error) {
	e, d := w.partition.engine, w.current
	if w.exited { // this goroutine is here to go on where that one ended
		w.exited = false
		return errExited
	}
	d.tries++
	w.ctx = w.context()
	if d.trouble != nil && d.fault != nil {
		return d.fault
	}
	limit := w.limit()
	timed := &handlerContext{Context: w.ctx, deadline: w.partition.opened.Add(limit)}
	returned := false
	w.handling.Store(true)
	defer func() {
		w.handling.Store(false)
		w.now = w.partition.clock()
		timed.end(w.now >= limit)
		if value := recover(); value != nil {
			err = events.Recovered(value)
		} else if !returned {
			w.exited = true
		}
	}()
	err = e.consumer.handle(timed, d.event)
	returned = true
	return err
}

// judge adds to the table of outcomes what depends on the tries before.
func (e *Engine) judge(ctx context.Context, d *delivery, err error, abandoned bool) Outcome {
	outcome := outcomeOf(err)
	switch outcome {
	case Done:
		e.giveUp.succeeded()
		if e.breaker.succeeded() {
			e.options.Logger.InfoContext(ctx, "no longer stalled: an event succeeded", "topic", e.consumer.Topic, "group", e.consumer.Group)
		}
	case Failed:
		if abandoned {
			return Unavailable // it may have failed only because it was cancelled
		}
		if !e.breaker.failed(d) {
			d.troubled().failures++
			if d.failures >= e.options.Attempts {
				return Rejected
			}
		} else if d.tries >= e.options.Attempts && e.breaker.stall() {
			e.options.Logger.ErrorContext(ctx, "stalled: different events fail in a row for an unknown reason; none is rejected until one succeeds",
				"topic", e.consumer.Topic, "group", e.consumer.Group, "in a row", e.options.StallAfter)
		}
	}
	return outcome
}

// reject writes the dead letter.
func (w *worker) reject(verdict error) error {
	p, d := w.partition, w.current
	reason := events.LogText(verdict.Error())
	if len(reason) > 1000 {
		reason = strings.ToValidUTF8(reason[:1000], "")
	}
	timeout := p.engine.options.HandlerTimeout
	if p.end != never {
		timeout = min(timeout, p.end-p.clock())
	}
	w.ctx = w.context()
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	return p.engine.letters.Write(ctx, DeadLetter{
		Record: *d.record, Consumer: p.engine.consumer.Group, Class: classOf(verdict), Reason: reason,
		Attempts: d.tries, At: time.Now(),
	})
}

// pause is how long to wait before the next try: as long as whoever refused has asked for, which knows better than a guess.
func (e *Engine) pause(d *delivery, err error) time.Duration {
	if asked, ok := errors.AsType[*events.Error](err); ok && asked.RetryAfter > 0 {
		return max(asked.RetryAfter, e.options.MinBackoff)
	}
	t := d.troubled()
	if t.backoff == nil {
		t.backoff = backoff.NewExponentialBackOff()
		t.backoff.InitialInterval, t.backoff.MaxInterval = e.options.MinBackoff, e.options.MaxBackoff
		t.backoff.Multiplier = 2
	}
	return max(min(t.backoff.NextBackOff(), e.options.MaxBackoff), 1) // its jitter goes beyond its bound
}
