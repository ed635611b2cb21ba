package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBackoffGrowsToItsMaximumWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maximum = 10 * time.Second
		tried := map[string][]time.Time{}
		var r *rig
		r = newRig(t, bus.Options{MinBackoff: time.Second, MaxBackoff: maximum}, func(ctx context.Context, e event) error {
			r.set(func() { tried[name(e)] = append(tried[name(e)], time.Now()) })
			return unavailable(ctx, e)
		})
		r.deliver(batch(0, "a1", "b1")...)
		pass(5 * time.Minute)
		var first []time.Duration
		for _, at := range tried {
			require.Greater(t, len(at), 20)
			mean := time.Second // of the delay, before its jitter of a half
			for i := range at[1:] {
				delay := at[i+1].Sub(at[i])
				assert.GreaterOrEqual(t, delay, mean/2)
				assert.LessOrEqual(t, delay, min(mean+mean/2, maximum))
				mean = min(2*mean, maximum)
			}
			first = append(first, at[1].Sub(at[0]))
		}
		assert.NotEqual(t, first[0], first[1])
	})
}

func TestRetryAfterIsKept(t *testing.T) {
	for asked, delay := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, 3 * time.Second: 3 * time.Second, time.Nanosecond: 100 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			var tried []time.Time
			r := newRig(t, bus.Options{}, func(ctx context.Context, e event) error {
				switch tried = append(tried, time.Now()); {
				case len(tried) <= 12: // the backoff is long by then
					return unavailable(ctx, e)
				case len(tried) <= 14:
					return fmt.Errorf("x: %w", &events.Error{Kind: events.Unavailable, RetryAfter: asked})
				}
				return nil
			})
			r.deliver(moved(0, "a1"))
			r.allHandled(1)
			assert.Equal(t, delay, tried[13].Sub(tried[12]))
			assert.Equal(t, delay, tried[14].Sub(tried[13]))
		})
	}
}

// An event that fails slowly uses up its attempts over several invocations, even if its turn does not come in each.
func TestAttemptsAddUpOverInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := false
		r := newRig(t, bus.Options{MinBackoff: time.Minute, Attempts: 3}, func(ctx context.Context, e event) error {
			switch {
			case outage || e.Data.ID == "b":
				return unavailable(ctx, e)
			case e.Data.Seq == 2:
				return errors.New("?")
			}
			return nil
		})
		invoke := func(records ...bus.Record) {
			r.openFor(time.Second) // for one try
			r.deliver(records...)
			_ = r.Wait(t.Context())
			require.NoError(t, r.Close(t.Context()))
		}
		for _, outage = range []bool{false, true, false, false} {
			assert.Zero(t, r.rejected())
			invoke(batch(0, "b1", "a1", "a2")...)
		}
		require.Equal(t, 1, r.rejected())
		assert.Equal(t, 3, r.deadLetters[0].Attempts)
		invoke(batch(0, "b1", "a1", "a2")...)
		assert.Equal(t, 1, r.rejected(), "it starts over once it was handled")
	})
}

// fullMailbox refuses an event for itself alone.
func fullMailbox(context.Context, event) error {
	return &events.Error{Kind: events.Unavailable, Message: "mailbox full", EventOnly: true}
}

func TestGiveUpAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Grace: time.Hour}, onKey("a", fullMailbox))
		r.deliver(moved(0, "a1"))
		for hour := range int64(24) {
			assert.Zero(t, r.rejected())
			r.deliver(moved(hour+1, "b1"))
			pass(time.Hour)
		}
		r.deliver(moved(25, "b1"))
		r.allHandled(26)
		require.Equal(t, 1, r.rejected())
		assert.Equal(t, bus.Expired, r.deadLetters[0].Class)
		assert.Regexp(t, "^given up, refused since 2000-01-01T00:00:00Z: mailbox full$", r.deadLetters[0].Reason)
	})
}

func TestGiveUpAfterAnHourIfThePartitionIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 100, Grace: time.Hour}, onKey("a", fullMailbox))
		r.deliver(moved(0, "a1"))
		for n := int64(1); n < 100; n++ {
			r.deliver(moved(n, "b1"))
			pass(30 * time.Second)
		}
		assert.True(t, r.Full())
		assert.Zero(t, r.rejected())
		pass(12 * time.Minute)
		r.allHandled(100)
		assert.Equal(t, 1, r.rejected())
	})
}

func TestGiveUpAfterAnHourOfInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, onKey("a", fullMailbox))
		began := time.Now()
		for r.rejected() == 0 {
			require.Less(t, time.Since(began), 61*time.Minute)
			r.openFor(30 * time.Second)
			r.deliver(batch(0, "a1", "b1")...)
			_ = r.Wait(t.Context())
			require.NoError(t, r.Close(t.Context()))
			pass(time.Second)
		}
		r.handledUpTo(2)
		assert.Greater(t, time.Since(began), time.Hour)
	})
}

// A server that is down, or refuses all recipients, causes no dead letters, however long that lasts and whatever succeeded
// before.
func TestNothingIsGivenUpInAnOutage(t *testing.T) {
	for what, fault := range map[string]handler{"server down": unavailable, "all recipients refused": fullMailbox} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{MaxBackoff: 5 * time.Minute, Grace: time.Hour}, onKey("a", fullMailbox))
				r.deliver(batch(0, "a1", "b1", "b2")...)
				pass(20 * time.Minute)
				r.becomes(fault)
				r.deliver(batch(3, "c1", "d1", "e1", "a2")...)
				pass(50 * time.Hour)
				assert.Zero(t, r.rejected())
				r.becomes(onKey("a", fullMailbox))
				pass(11 * time.Minute)
				assert.Equal(t, 1, r.rejected(), "a1; a2 has only begun to fail")
			})
		})
	}
}

func unknown(context.Context, event) error { return errors.New("?") }

func TestOutageFillsNoDeadLetters(t *testing.T) {
	for what, attempts := range map[string]int{"one attempt": 1, "five attempts": 5} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Attempts: attempts, StallAfter: 3}, unknown)
				for n := range int64(26) {
					r.deliver(moved(n, fmt.Sprintf("%c1", 'a'+rune(n))))
				}
				pass(time.Hour)
				rejected := r.rejected()
				assert.Less(t, rejected, 3, "those before it looked like an outage")
				assert.Equal(t, 1, r.logged(`msg="stalled`))
				assert.Zero(t, r.logged(`msg="no longer stalled`))
				assert.True(t, r.engine.Stalled())
				r.becomes(nil)
				r.allHandled(26)
				assert.Equal(t, rejected, r.rejected())
				assert.Equal(t, 1, r.logged(`msg="no longer stalled`))
				assert.False(t, r.engine.Stalled())
				assert.Len(t, r.done, 26-rejected)
			})
		})
	}
}

// An event that fails once more after a long outage is not rejected for that.
func TestOutageUsesUpNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, unknown)
		r.deliver(batch(0, "a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1", "j1")...)
		pass(time.Hour)
		failed := map[string]bool{}
		r.becomes(func(ctx context.Context, e event) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if e.Data.ID <= "f" || failed[name(e)] {
				return nil
			}
			failed[name(e)] = true
			return unknown(ctx, e)
		})
		r.allHandled(10)
		assert.Zero(t, r.rejected())
	})
}

func TestPoisonOnABusyTopicIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, onKey("p", unknown))
		r.deliver(moved(0, "p1"))
		for n := int64(1); n < 1000; n++ {
			r.deliver(moved(n, "a1"))
			if n == 500 {
				r.deliver(moved(n+500, "p2"))
			}
			pass(10 * time.Millisecond)
		}
		pass(time.Minute)
		assert.Equal(t, 2, r.rejected())
		assert.Zero(t, r.logged(`msg="stalled`))
	})
}

func TestThreePoisonInARowOnAQuietTopicStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, onKey("p", unknown))
		for n := range int64(3) {
			r.deliver(moved(n, fmt.Sprintf("p%d", n)))
			pass(time.Hour)
		}
		assert.Equal(t, 2, r.rejected())
		assert.Equal(t, 1, r.logged(`msg="stalled`))
		r.handledUpTo(2)
		r.deliver(moved(3, "a1")) // its success ends the stall
		r.allHandled(4)
		assert.Equal(t, 3, r.rejected())
	})
}
