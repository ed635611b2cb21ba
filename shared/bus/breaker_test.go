package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/stretchr/testify/assert"
)

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
