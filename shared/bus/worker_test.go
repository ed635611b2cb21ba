package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The outcome of an event whose handler always ends like this, and the class of its dead letter.
func TestOutcomes(t *testing.T) {
	unknown := errors.New("?")
	kind := func(k events.Kind) error { return events.Errorf(k, "%s", k) }
	wrap := func(k events.Kind, cause error) error { return events.Wrap(k, cause, "no") }
	returns := func(err error) handler { return func(context.Context, event) error { return err } }
	panics := func(value any) handler { return func(context.Context, event) error { panic(value) } }
	for _, test := range []struct {
		name    string
		handle  handler
		outcome bus.Outcome
		class   bus.Class
	}{
		{"nil", nil, bus.Done, ""},
		{"invalid", returns(kind(events.Invalid)), bus.Rejected, bus.Refused},
		{"conflict", returns(kind(events.Conflict)), bus.Rejected, bus.Conflicting},
		{"not found", returns(kind(events.NotFound)), bus.Failed, bus.Exhausted},
		{"unavailable", returns(kind(events.Unavailable)), bus.Unavailable, ""},
		{"unknown", returns(unknown), bus.Failed, bus.Exhausted},
		{"context cancelled", returns(context.Canceled), bus.Unavailable, ""},
		{"deadline exceeded", returns(fmt.Errorf("x: %w", context.DeadlineExceeded)), bus.Unavailable, ""},
		{"invalid caused by unavailable", returns(wrap(events.Invalid, kind(events.Unavailable))), bus.Rejected, bus.Refused},
		{"unavailable caused by conflict", returns(wrap(events.Unavailable, kind(events.Conflict))), bus.Unavailable, ""},
		{"invalid caused by the deadline", returns(wrap(events.Invalid, context.DeadlineExceeded)), bus.Unavailable, ""},
		{"invalid and unavailable", returns(errors.Join(kind(events.Invalid), kind(events.Unavailable))), bus.Unavailable, ""},
		{"unavailable among wrapped", returns(fmt.Errorf("%w, %w", unknown,
			fmt.Errorf("x: %w", errors.Join(unknown, kind(events.Unavailable))))), bus.Unavailable, ""},
		{"unknown and conflict", returns(errors.Join(unknown, kind(events.Conflict))), bus.Rejected, bus.Conflicting},
		{"panic", panics("?"), bus.Failed, bus.Panicked},
		{"panic with unavailable", panics(kind(events.Unavailable)), bus.Failed, bus.Panicked},
		{"nil pointer", func(context.Context, event) error { return errors.New((*event)(nil).Data.ID) }, bus.Failed, bus.Panicked},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{}, func(ctx context.Context, e event) error {
					if test.handle != nil && name(e) == "a1" {
						return test.handle(ctx, e)
					}
					return nil
				})
				r.deliver(batch(0, "a1", "a2")...)
				pass(time.Hour)
				require.NotEmpty(t, r.reports)
				assert.Equal(t, test.outcome, r.reports[0].Outcome)
				if test.outcome == bus.Unavailable {
					assert.Zero(t, r.rejected())
					assert.NotContains(t, r.began, "a2", "the key waits")
					assert.Greater(t, len(r.began), 100, "retried for as long as it takes")
					r.becomes(nil)
				}
				r.allHandled(2)
				if test.class == "" {
					assert.Zero(t, r.rejected())
					return
				}
				require.Equal(t, 1, r.rejected())
				assert.Equal(t, test.class, r.deadLetters[0].Class)
				tries := 1
				if test.outcome == bus.Failed {
					tries = 5
				}
				assert.Equal(t, tries, r.deadLetters[0].Attempts)
				assert.Len(t, r.began, tries+1, "and a2")
			})
		})
	}
}

// An undecodable record waits for its turn like every other of its key.
func TestUndecodableInTheMiddleOfAKey(t *testing.T) {
	for what, value := range map[string][]byte{
		"tombstone": nil, "empty": {}, "no JSON": []byte("?"), "no id": []byte(`{"eventId":"x","eventType":"moved","data":{}}`),
		"another type": []byte(`{"eventId":"x","eventType":"y","data":{"id":"a"}}`), "null": []byte("null"),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{}, slow(time.Second))
				bad := bus.Record{Topic: "moved", Partition: 7, Offset: 1, Key: []byte("a"), Value: value}
				r.deliver(moved(0, "a1"), bad, moved(2, "a2"))
				synctest.Wait()
				assert.Zero(t, r.rejected(), "before its turn")
				r.allHandled(3)
				require.Equal(t, 1, r.rejected())
				assert.Equal(t, bus.Undecodable, r.deadLetters[0].Class)
				assert.Equal(t, 1, r.deadLetters[0].Attempts)
				assert.Equal(t, bad, r.deadLetters[0].Record)
				assert.Equal(t, []string{"a1", "a2"}, r.done)
			})
		})
	}
}

// Events of a worker share a context, which no earlier event must have ended or used up.
func TestEachTryHasTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := bus.Options{Concurrency: 1, HandlerTimeout: 10 * time.Second}
		r := newRig(t, o, func(ctx context.Context, e event) error {
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.GreaterOrEqual(t, time.Until(deadline), 9900*time.Millisecond, name(e))
			assert.NoError(t, ctx.Err(), name(e))
			if name(e) == "a1" {
				panic("?")
			}
			time.Sleep(60 * time.Millisecond)
			return nil
		})
		r.deliver(batch(0, "a1", "b1", "b2", "b3", "b4", "b5", "b6")...)
		pass(time.Second)
		assert.Contains(t, r.began, "b6")
	})
}

func TestHandlerThatIgnoresItsTimeoutIsAnOverrun(t *testing.T) {
	for what, c := range map[string]struct {
		handle handler
		after  time.Duration
	}{
		"continues": {func(context.Context, event) error { time.Sleep(time.Hour); return nil }, time.Minute},
		"exits":     {func(context.Context, event) error { runtime.Goexit(); return nil }, 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{HandlerTimeout: time.Minute, Grace: 10 * time.Second}, c.handle)
				r.deliver(moved(0, "a1"))
				pass(c.after + 8*time.Second)
				assert.NoError(t, r.overrunError())
				pass(2 * time.Second)
				assert.ErrorContains(t, r.overrunError(), "e-a1")
				pass(time.Hour)
			})
		})
	}
}
