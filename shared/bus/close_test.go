package bus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// within is a context that ends after so long.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func sleepy(d time.Duration) func(context.Context, event) error {
	return func(ctx context.Context, _ event) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestCloseFinishesWhatRunsAndLetsGoTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Concurrency: 2}, sleepy(time.Second))
		r.deliver(batch(0, "a1", "b1", "a2", "c1")...)
		pass(time.Second / 2)
		began := time.Now()
		require.NoError(t, r.Close(within(t, time.Minute)))
		assert.Equal(t, time.Second/2, time.Since(began))
		r.handledUpTo(2)
		pass(time.Hour)
		assert.Len(t, r.began, 2, "nothing runs afterwards")
		r.handledUpTo(2)
	})
}

// Keys run ahead of each other. What stands before an event that was handled is finished too, or that one would come
// again after every rebalance.
func TestCloseFinishesWhatStandsBeforeHandledEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(ctx context.Context, e event) error {
			if e.Data.ID == "a" {
				return sleepy(time.Second)(ctx, e)
			}
			return nil
		})
		r.deliver(batch(0, "a1", "a2", "b1", "a3", "b2", "a4")...)
		synctest.Wait()
		require.NoError(t, r.Close(within(t, time.Minute)))
		assert.Equal(t, []string{"b1", "b2", "a1", "a2", "a3"}, r.done)
		r.handledUpTo(5)
	})
}

func TestCloseDoesNotWaitForRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(context.Context, event) error {
			return &events.Error{Kind: events.Unavailable, RetryAfter: time.Minute}
		})
		r.deliver(batch(0, "a1", "b1")...)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, r.Close(within(t, time.Hour)))
		assert.Zero(t, time.Since(began))
		pass(time.Hour)
		assert.Len(t, r.began, 2)
	})
}

// Handlers that take too long are cancelled; what they answer then counts neither against the event nor for an outage.
func TestCloseAbandonsWhatTakesTooLong(t *testing.T) {
	for what, answer := range map[string]error{"the context's error": nil, "an error of its own": errors.New("connection closed")} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Attempts: 1}, func(ctx context.Context, e event) error {
					if err := sleepy(20*time.Second)(ctx, e); err != nil {
						return errors.Join(answer, ctx.Err())
					}
					return nil
				})
				if answer != nil {
					r.handle = func(ctx context.Context, _ event) error { <-ctx.Done(); return answer }
				}
				r.deliver(batch(0, "a1", "b1")...)
				synctest.Wait()
				began := time.Now()
				require.ErrorIs(t, r.Close(within(t, time.Second)), context.DeadlineExceeded)
				assert.Equal(t, time.Second, time.Since(began))
				r.handledUpTo(0)
				assert.Empty(t, r.letters)
				assert.NoError(t, r.overrunError())
				for _, report := range r.reports {
					assert.Equal(t, bus.Unavailable, report.Outcome)
				}
				pass(time.Hour)
				assert.Len(t, r.began, 2)
			})
		})
	}
}

func TestCloseOfAHandlerThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			time.Sleep(20 * time.Second)
			return nil
		})
		r.deliver(batch(0, "a1", "a2")...)
		synctest.Wait()
		began := time.Now()
		require.ErrorContains(t, r.Close(within(t, 10*time.Second)), "moved/7")
		assert.InDelta(t, 14*time.Second, time.Since(began), float64(400*time.Millisecond), "10 s and the grace")
		require.Error(t, r.overrunError())
		pass(time.Hour)
		r.handledUpTo(0) // although it ended: whoever closed has committed
		assert.Len(t, r.began, 1)
	})
}

func TestCloseTwiceAndAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, sleepy(time.Second))
		r.deliver(batch(0, "a1", "a2")...)
		synctest.Wait()
		var closing sync.WaitGroup
		for range 3 {
			closing.Go(func() { assert.NoError(t, r.Close(t.Context())) })
		}
		for n := int64(2); n < 50; n++ {
			closing.Go(func() { r.Deliver(batch(n, "b1")) })
		}
		closing.Wait()
		handled, _, _ := r.Handled()
		require.NoError(t, r.Close(t.Context()))
		r.Deliver(batch(100, "c1"))
		pass(time.Hour)
		r.handledUpTo(handled)
		assert.NotContains(t, r.began, "c1")
	})
}

func TestCloseWhileDecoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			r := newRig(t, bus.Options{}, nil)
			for n := range int64(20) {
				r.deliver(batch(3*n, "a1", "b1", "c1")...)
			}
			require.NoError(t, r.Close(t.Context()))
			handled, _, _ := r.Handled()
			done := len(r.done)
			synctest.Wait()
			assert.Len(t, r.done, done)
			r.handledUpTo(handled)
			assert.LessOrEqual(t, handled, int64(done))
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, sleepy(20*time.Second))
		require.NoError(t, r.Wait(t.Context()), "nothing to wait for")
		r.deliver(batch(0, "a1", "a2")...)
		require.ErrorIs(t, r.Wait(within(t, time.Second)), context.DeadlineExceeded)
		r.allHandled(2)

		r.deliver(batch(2, "a3", "a4")...)
		go func() { _ = r.Close(context.Background()) }()
		require.ErrorContains(t, r.Wait(t.Context()), "closed", "or it would wait for ever")
	})
}

func TestCloseBeginsNothingOnceItHasCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Concurrency: 1}, func(ctx context.Context, e event) error {
			if e.Data.ID == "b" {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		r.deliver(batch(0, "a1", "a2", "b1")...) // a2 has its turn after b1
		synctest.Wait()
		require.Error(t, r.Close(within(t, time.Second)))
		assert.Equal(t, []string{"a1", "b1"}, r.began)
		r.handledUpTo(1)
	})
}
