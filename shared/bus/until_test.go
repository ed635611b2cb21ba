package bus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openUntil opens the rig's partition again, as an invocation does.
func (r *rig) openUntil(engine *bus.Engine, d time.Duration) {
	r.Partition = engine.OpenUntil(r.t.Context(), 7, time.Now().Add(d))
}

// newEngine is an engine whose partitions the test opens itself.
func (r *rig) newEngine(o bus.Options) *bus.Engine {
	o.Report, o.Overrun = r.report, r.overran
	return bus.NewEngine(bus.NewConsumer("movers", r.handler), r, o)
}

func TestNoRetryIsWaitedForThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			if e.Data.ID == "a" {
				return &events.Error{Kind: events.Unavailable, RetryAfter: 20 * time.Second}
			}
			return sleepy(time.Second)(t.Context(), e)
		})
		r.openUntil(r.newEngine(bus.Options{}), 30*time.Second)
		began := time.Now()
		names := []string{"b1", "a1", "a2", "c1"}
		for range 20 { // more than are decoded at a time
			names = append(names, "a3")
		}
		r.deliver(batch(0, names...)...)
		require.ErrorContains(t, r.Wait(t.Context()), "cannot be retried before the deadline")
		assert.Equal(t, 20*time.Second, time.Since(began), "one retry at 20 s, none at 40 s")
		require.NoError(t, r.Close(t.Context()))
		r.handledUpTo(1)
		assert.ElementsMatch(t, []string{"a1", "a1", "b1", "c1"}, r.began)
	})
}

func TestAHandlerHasNoLongerThanTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(ctx context.Context, _ event) error {
			<-ctx.Done()
			return errors.New("connection closed")
		})
		r.openUntil(r.newEngine(bus.Options{Attempts: 1, StallAfter: 1}), 3*time.Second)
		began := time.Now()
		r.deliver(batch(0, "a1")...)
		require.ErrorContains(t, r.Wait(t.Context()), "cannot be retried before the deadline")
		assert.Equal(t, 3*time.Second, time.Since(began))
		require.NoError(t, r.Close(t.Context()))
		r.handledUpTo(0)
		assert.Empty(t, r.letters, "cut short, which is not its fault")
	})
}

func TestAttemptsAreRememberedOfWhatIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(context.Context, event) error { return errors.New("?") })
		engine := r.newEngine(bus.Options{MinBackoff: time.Minute, Attempts: 3})
		for range 3 { // time for one try
			r.openUntil(engine, time.Second)
			r.deliver(batch(0, "a1")...)
			_ = r.Wait(t.Context())
			require.NoError(t, r.Close(t.Context()))
		}
		r.handledUpTo(1)
		require.Len(t, r.letters, 1)
		assert.Equal(t, 3, r.letters[0].Attempts)

		r.openUntil(engine, time.Second)
		r.deliver(batch(0, "a1")...)
		require.Error(t, r.Wait(t.Context()), "it counts anew once it was handled")
		require.NoError(t, r.Close(t.Context()))
	})
}

// What an event has failed is not forgotten in an invocation in which its turn does not come.
func TestAttemptsAreRememberedOfWhatWaitsForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := false
		r := &rig{t: t, running: map[string]int{}, waiting: map[int64]bool{}}
		r.handle = func(_ context.Context, e event) error {
			switch {
			case outage || e.Data.ID == "b":
				return events.Errorf(events.Unavailable, "not now")
			case e.Data.Seq == 2:
				return errors.New("what is this?")
			}
			return nil
		}
		engine := r.newEngine(bus.Options{MinBackoff: time.Minute, Attempts: 2})
		for _, outage = range []bool{false, true, false} {
			r.openUntil(engine, time.Second)
			r.deliver(batch(0, "b1", "a1", "a2")...)
			_ = r.Wait(t.Context())
			require.NoError(t, r.Close(t.Context()))
		}
		require.Len(t, r.letters, 1)
		assert.Equal(t, 2, r.letters[0].Attempts)
	})
}
