package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What becomes of an event whose handler returns err each time: its first report, and the class of its dead letter.
func TestOutcomes(t *testing.T) {
	unknown := errors.New("?")
	kind := func(k events.Kind) error { return events.Errorf(k, "%s", k) }
	for _, test := range []struct {
		name    string
		do      func() error
		outcome bus.Outcome
		class   bus.Class
	}{
		{"nil", func() error { return nil }, bus.Done, ""},
		{"invalid", func() error { return kind(events.Invalid) }, bus.Rejected, bus.Refused},
		{"conflict", func() error { return kind(events.Conflict) }, bus.Rejected, bus.Conflicting},
		{"not found: it may be on its way", func() error { return kind(events.NotFound) }, bus.Failed, bus.Exhausted},
		{"unavailable", func() error { return kind(events.Unavailable) }, bus.Unavailable, ""},
		{"unknown", func() error { return unknown }, bus.Failed, bus.Exhausted},
		{"of our type without kind", func() error { return &events.Error{} }, bus.Failed, bus.Exhausted},
		{"context cancelled", func() error { return context.Canceled }, bus.Unavailable, ""},
		{"deadline exceeded", func() error { return fmt.Errorf("x: %w", context.DeadlineExceeded) }, bus.Unavailable, ""},
		{"wrapped invalid", func() error { return fmt.Errorf("x: %w", kind(events.Invalid)) }, bus.Rejected, bus.Refused},
		{"wrapped unavailable", func() error { return fmt.Errorf("x: %w", kind(events.Unavailable)) }, bus.Unavailable, ""},
		{"invalid because of something unavailable: who wrapped it decided",
			func() error { return events.Wrap(events.Invalid, kind(events.Unavailable), "no") }, bus.Rejected, bus.Refused},
		{"unavailable because of a conflict",
			func() error { return events.Wrap(events.Unavailable, kind(events.Conflict), "no") }, bus.Unavailable, ""},
		{"invalid because of the deadline",
			func() error { return events.Wrap(events.Invalid, context.DeadlineExceeded, "no") }, bus.Unavailable, ""},
		{"invalid joined with unavailable: not the event's fault alone",
			func() error { return errors.Join(kind(events.Invalid), kind(events.Unavailable)) }, bus.Unavailable, ""},
		{"joined deep", func() error {
			return fmt.Errorf("%w, %w", unknown, fmt.Errorf("x: %w", errors.Join(unknown, kind(events.Unavailable))))
		}, bus.Unavailable, ""},
		{"unknown joined with conflict", func() error { return errors.Join(unknown, kind(events.Conflict)) }, bus.Rejected, bus.Conflicting},
		{"panic of a text", func() error { panic("?") }, bus.Failed, bus.Panicked},
		{"panic of an error that would be unavailable", func() error { panic(kind(events.Unavailable)) }, bus.Failed, bus.Panicked},
		{"panic of nil", func() error { panic(nil) }, bus.Failed, bus.Panicked},
		{"nil pointer", func() error { return fmt.Errorf("%d", (*event)(nil).Data.Seq) }, bus.Failed, bus.Panicked},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var recovered atomic.Bool
				r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
					if name(e) == "a1" && !recovered.Load() {
						return test.do()
					}
					return nil
				})
				r.deliver(batch(0, "a1", "a2")...)
				pass(time.Hour)
				require.NotEmpty(t, r.reports)
				assert.Equal(t, test.outcome, r.reports[0].Outcome)
				if test.outcome == bus.Unavailable {
					assert.Empty(t, r.letters)
					assert.NotContains(t, r.began, "a2", "the key waits")
					assert.Greater(t, len(r.began), 100, "tried again for as long as it takes")
					recovered.Store(true)
				}
				r.allHandled(2)
				if test.class == "" {
					assert.Empty(t, r.letters)
					return
				}
				require.Len(t, r.letters, 1)
				assert.Equal(t, test.class, r.letters[0].Class)
				tries := 1
				if test.outcome == bus.Failed {
					tries = 5
				}
				assert.Equal(t, tries, r.letters[0].Attempts)
				assert.Len(t, r.began, tries+1, "and a2")
			})
		})
	}
}

func TestReportsTellOfEveryTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := errors.New("?")
		r := newRig(t, bus.Options{Attempts: 3}, func(context.Context, event) error {
			time.Sleep(time.Second)
			return fault
		})
		r.deliver(moved(4, "a1"))
		r.allHandled(5)
		report := bus.Report{Topic: "moved", Partition: 7, Offset: 4, EventID: "e-a1", Outcome: bus.Failed, Attempt: 1, Took: time.Second, Err: fault}
		want := []bus.Report{report, report, report}
		want[1].Attempt = 2
		want[2].Attempt, want[2].Outcome, want[2].Class = 3, bus.Rejected, bus.Exhausted
		for i := range r.reports {
			r.reports[i].Context = nil
		}
		assert.Equal(t, want, r.reports)
	})
}

func TestPauseGrowsToItsBoundAndIsNotTheSameForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 10 * time.Second
		tried := map[string][]time.Time{}
		var r *rig
		r = newRig(t, bus.Options{MinBackoff: time.Second, MaxBackoff: bound}, func(_ context.Context, e event) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			tried[name(e)] = append(tried[name(e)], time.Now())
			return events.Errorf(events.Unavailable, "later")
		})
		r.deliver(batch(0, "a1", "b1")...)
		pass(5 * time.Minute)
		var first []time.Duration
		for _, at := range tried {
			require.Greater(t, len(at), 20)
			mean := time.Second // of the pause, before its jitter of a half
			for i := range at[1:] {
				pause := at[i+1].Sub(at[i])
				assert.GreaterOrEqual(t, pause, mean/2)
				assert.LessOrEqual(t, pause, min(mean+mean/2, bound))
				mean = min(2*mean, bound)
			}
			first = append(first, at[1].Sub(at[0]))
		}
		assert.NotEqual(t, first[0], first[1])
	})
}

// Not before, and not a backoff later: whatever the tries before have made of that.
func TestPauseThatWasAskedForIsKept(t *testing.T) {
	for asked, pause := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, 3 * time.Second: 3 * time.Second, time.Nanosecond: 100 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			var tried []time.Time
			r := newRig(t, bus.Options{}, func(context.Context, event) error {
				switch tried = append(tried, time.Now()); {
				case len(tried) <= 12:
					return events.Errorf(events.Unavailable, "down")
				case len(tried) <= 14:
					return fmt.Errorf("x: %w", &events.Error{Kind: events.Unavailable, RetryAfter: asked})
				}
				return nil
			})
			r.deliver(moved(0, "a1"))
			r.allHandled(1)
			assert.Equal(t, pause, tried[13].Sub(tried[12]))
			assert.Equal(t, pause, tried[14].Sub(tried[13]))
		})
	}
}

func TestHandlersContextEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := newRig(t, bus.Options{HandlerTimeout: time.Minute}, func(ctx context.Context, _ event) error {
			if tries++; tries > 1 {
				return nil
			}
			began := time.Now()
			<-ctx.Done()
			assert.Equal(t, time.Minute, time.Since(began))
			return ctx.Err()
		})
		r.deliver(moved(0, "a1"))
		r.allHandled(1)
		assert.Equal(t, bus.Unavailable, r.reports[0].Outcome)
		assert.NoError(t, r.overrunError())
	})
}

func TestHandlerThatIgnoresItsTimeoutIsAnOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{HandlerTimeout: time.Minute, Grace: 10 * time.Second}, func(context.Context, event) error {
			runtime.Goexit() // which no later time ends
			return nil
		})
		r.deliver(moved(0, "a1"))
		pass(time.Minute + 8*time.Second)
		assert.NoError(t, r.overrunError())
		pass(2 * time.Second)
		assert.ErrorContains(t, r.overrunError(), "e-a1")
		pass(time.Hour)
	})
}

// A report that does not end, of a log whose reader has stopped say, is no handler that ignores its deadline, and takes no time
// from the next one.
func TestSlowReportIsNoOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left []time.Duration
		handler := func(ctx context.Context, _ event) error {
			deadline, _ := ctx.Deadline()
			left = append(left, time.Until(deadline))
			return nil
		}
		var overrun error
		engine := bus.NewEngine(bus.NewConsumer("movers", handler), nil, bus.Options{
			Report:  func(bus.Report) { time.Sleep(10 * time.Minute) },
			Overrun: func(err error) { overrun = err },
		})
		p := engine.Open(7, nil)
		p.Deliver(batch(0, "a1", "a2"))
		require.NoError(t, p.Wait(t.Context()))
		require.NoError(t, p.Close(t.Context()))
		require.NoError(t, overrun)
		assert.Equal(t, []time.Duration{30 * time.Second, 30 * time.Second}, left)
	})
}
