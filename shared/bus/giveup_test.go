package bus_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func eventOnly() error {
	return &events.Error{Kind: events.Unavailable, Message: "mailbox full", EventOnly: true}
}

// fullMailbox refuses the events of key a.
func fullMailbox(_ context.Context, e event) error {
	if e.Data.ID == "a" {
		return eventOnly()
	}
	return nil
}

// now gives records the current time, which moved does not.
func now(records ...bus.Record) []bus.Record {
	for i := range records {
		records[i].Timestamp = time.Now()
	}
	return records
}

func TestGiveUpAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Grace: time.Hour}, fullMailbox)
		r.deliver(now(moved(0, "a1"))...)
		for hour := range int64(24) {
			assert.Zero(t, r.rejected())
			r.deliver(now(moved(hour+1, "b1"))...)
			pass(time.Hour)
		}
		r.deliver(now(moved(25, "b1"))...)
		r.allHandled(26)
		require.Len(t, r.letters, 1)
		assert.Equal(t, bus.Expired, r.letters[0].Class)
		assert.Regexp(t, "^given up, refused since .*: mailbox full$", r.letters[0].Reason)
	})
}

func TestGiveUpAfterAnHourIfTheBufferIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 100, Grace: time.Hour}, fullMailbox)
		r.deliver(now(moved(0, "a1"))...)
		for n := int64(1); n < 100; n++ {
			r.deliver(now(moved(n, "b1"))...)
			pass(30 * time.Second)
		}
		assert.True(t, r.Full())
		assert.Zero(t, r.rejected())
		pass(12 * time.Minute)
		r.allHandled(100)
		assert.Equal(t, 1, r.rejected())
	})
}

func TestGiveUpAcrossInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, fullMailbox)
		engine := r.newEngine(bus.Options{})
		began := time.Now()
		for r.rejected() == 0 {
			require.Less(t, time.Since(began), 61*time.Minute)
			r.openUntil(engine, 30*time.Second)
			r.deliver(now(batch(0, "a1", "b1")...)...)
			_ = r.Wait(t.Context())
			require.NoError(t, r.Close(t.Context()))
			pass(time.Second)
		}
		r.handledUpTo(2)
		assert.Greater(t, time.Since(began), time.Hour)
	})
}

// A server that is down, or that refuses all recipients, fills no dead letters however long it lasts. That an event
// succeeded before proves nothing.
func TestOutageGivesUpNothing(t *testing.T) {
	for what, fault := range map[string]error{
		"server down": events.Errorf(events.Unavailable, "down"), "all recipients refused": eventOnly(),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var outage atomic.Bool
				r := newRig(t, bus.Options{MaxBackoff: 5 * time.Minute, Grace: time.Hour}, func(ctx context.Context, e event) error {
					if outage.Load() {
						return fault
					}
					return fullMailbox(ctx, e)
				})
				r.deliver(now(batch(0, "a1", "b1", "b2")...)...)
				pass(20 * time.Minute)
				outage.Store(true)
				r.deliver(now(batch(3, "c1", "d1", "e1", "a2")...)...)
				pass(50 * time.Hour)
				assert.Zero(t, r.rejected())
				outage.Store(false)
				pass(11 * time.Minute)
				assert.Equal(t, 1, r.rejected(), "a1; a2 has only begun to fail")
			})
		})
	}
}
