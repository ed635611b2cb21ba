package trigger_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestInvocationTime checks when an invocation answers, depending on its time and its handlers.
func TestInvocationTime(t *testing.T) {
	heeds := func(ctx context.Context, _ event) error { <-ctx.Done(); return ctx.Err() }
	takes := func(d time.Duration) func(context.Context, event) error {
		return func(ctx context.Context, _ event) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	later := func(d time.Duration) func(context.Context, event) error {
		return func(context.Context, event) error { return &events.Error{Kind: events.Unavailable, RetryAfter: d} }
	}
	three := []string{"0/0:a1", "0/1:a2", "0/2:a3"}
	for _, c := range []struct {
		what    string
		timeout time.Duration
		handle  func(context.Context, event) error
		after   time.Duration // the answer
		given   []string
		began   int
	}{
		{"all in time", time.Minute, takes(10 * time.Second), 30 * time.Second, []string{}, 3},
		// A minute, less 500 ms and the grace of 5 s, leaves 54.5 s to the handlers, and the last begins before 53.5 s.
		{"what has begun is finished, nothing is begun near the end", time.Minute, takes(27 * time.Second), 54 * time.Second,
			[]string{"0/2"}, 2},
		{"a handler has no longer than is left", time.Minute, takes(28 * time.Second), 54*time.Second + 500*time.Millisecond,
			[]string{"0/1", "0/2"}, 2},
		{"a handler that heeds its context", 20 * time.Second, heeds, 14*time.Second + 500*time.Millisecond, three, 1},
		{"nothing is left to do but a retry that comes too late", time.Minute, later(10 * time.Minute), 0, three, 1},
		{"a short timeout: half of it is kept", 3 * time.Second, heeds, 1500 * time.Millisecond, three, 1},
		{"a short timeout is enough for what is quick", 3 * time.Second, takes(400 * time.Millisecond), 1200 * time.Millisecond,
			[]string{}, 3},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(t, trigger.Options{Partial: true}, c.handle)
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				began := time.Now()
				answer, err := r.Invoke(ctx, batch(t, three...))
				assert.Equal(t, c.after, time.Since(began))
				require.NoError(t, err)
				want := []string{}
				for _, record := range c.given {
					want = append(want, record[:3])
				}
				assert.Equal(t, want, returned(t, string(answer)))
				r.still()
				assert.Len(t, r.began, c.began)
				assert.Empty(t, r.overran)
				assert.Empty(t, r.deadLetters)
			})
		})
	}
}

// The error of a handler whose time was cut short counts neither against the event nor as an outage.
func TestDeadlineIsNotTheEventsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, trigger.Options{Partial: true, Delivery: bus.Options{Attempts: 1, StallAfter: 1}}, func(ctx context.Context,
			_ event) error {
			<-ctx.Done()
			return errors.New("connection closed")
		})
		answer, err := r.invoke(20*time.Second, batch(t, "0/0:a1"))
		require.NoError(t, err)
		assert.Equal(t, []string{"0/0"}, returned(t, answer))
		assert.Empty(t, r.deadLetters)
	})
}

// On SIGTERM or Ctrl-C handlers have a moment to finish.
func TestCancelledInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, trigger.Options{Partial: true}, func(ctx context.Context, e event) error {
			if e.Data.ID == "a" {
				time.Sleep(10*time.Second + 500*time.Millisecond)
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(10*time.Second, cancel)
		began := time.Now()
		answer, err := r.Invoke(ctx, batch(t, "0/0:a1", "0/1:a2", "1/0:b1"))
		assert.Equal(t, 11*time.Second, time.Since(began))
		require.NoError(t, err)
		assert.Equal(t, []string{"0/1", "1/0"}, returned(t, string(answer)))
		r.still()

		answer, err = r.Invoke(ctx, batch(t, "0/1:a2"))
		require.NoError(t, err)
		assert.Equal(t, []string{"0/1"}, returned(t, string(answer)), "no time at all")
		assert.NotContains(t, r.began, "a2")
	})
}
