package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func refused(context.Context, event) error { return events.Errorf(events.Invalid, "no") }

func TestDeadLetterHoldsTheRecordByteForByte(t *testing.T) {
	for what, record := range map[string]bus.Record{
		"nothing":      {},
		"empty":        {Key: []byte{}, Value: []byte{}, Headers: []bus.Header{{Key: "", Value: []byte{}}, {Key: "k"}}},
		"repeated key": {Key: []byte("a"), Headers: []bus.Header{{Key: "k", Value: []byte("1")}, {Key: "k", Value: []byte("2")}}},
		"binary":       {Key: []byte{0, 0xff}, Value: []byte{0xff, 0, '\n'}},
		"an event":     moved(0, "a1"),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{}, refused)
				record.Topic, record.Partition, record.Offset, record.Timestamp = "moved", 7, 42, time.Unix(1e9, 5e6)
				at := time.Now()
				r.deliver(record)
				r.allHandled(43)
				require.Len(t, r.letters, 1)
				require.Equal(t, record, r.letters[0].Record) // tells nil from empty

				encoded := r.letters[0].Encode()
				assert.Equal(t, "moved.dead-letters", encoded.Topic)
				assert.Equal(t, record.Key, encoded.Key)
				assert.Equal(t, record.Value, encoded.Value)
				n := len(record.Headers)
				assert.Equal(t, append([]bus.Header{}, record.Headers...), encoded.Headers[:n])
				own := map[string]string{}
				for _, h := range encoded.Headers[n:] {
					own[h.Key] = string(h.Value)
				}
				assert.NotEmpty(t, own[bus.HeaderReason])
				delete(own, bus.HeaderReason)
				assert.Equal(t, map[string]string{
					bus.HeaderClass: string(r.letters[0].Class), bus.HeaderConsumer: "movers", bus.HeaderTopic: "moved",
					bus.HeaderPartition: "7", bus.HeaderOffset: "42", bus.HeaderTimestamp: "2001-09-09T01:46:40.005Z",
					bus.HeaderAttempts: "1", bus.HeaderAt: at.UTC().Format(time.RFC3339Nano),
				}, own)
			})
		})
	}
}

func TestReasonIsShortText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(context.Context, event) error {
			return events.Errorf(events.Invalid, "%s", "\xff"+strings.Repeat("ü", 1000))
		})
		r.deliver(moved(0, "a1"))
		r.allHandled(1)
		assert.LessOrEqual(t, len(r.letters[0].Reason), 1000)
		assert.Greater(t, len(r.letters[0].Reason), 990)
		assert.True(t, utf8.ValidString(r.letters[0].Reason))
	})
}

// An event that is to be rejected is not handled before its letter is written. The handler is not run again meanwhile,
// and its key waits.
func TestDeadLetterIsWaitedFor(t *testing.T) {
	for what, handle := range map[string]func(context.Context, event) error{
		"refused":   refused,
		"exhausted": func(context.Context, event) error { return errors.New("?") },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Attempts: 2}, func(ctx context.Context, e event) error {
					if name(e) == "a1" {
						return handle(ctx, e)
					}
					return nil
				})
				r.refuse = func(bus.DeadLetter) error { return errors.New("full") }
				r.deliver(batch(0, "a1", "a2")...)
				pass(time.Hour)
				tries := len(r.began)
				assert.NotContains(t, r.began, "a2")
				assert.Empty(t, r.letters)
				r.handledUpTo(0)
				last := r.reports[len(r.reports)-1]
				assert.Equal(t, bus.Unavailable, last.Outcome)
				assert.Equal(t, tries, last.Attempt)
				assert.ErrorContains(t, last.Err, "dead letter")

				r.mu.Lock()
				r.refuse = nil
				r.mu.Unlock()
				r.allHandled(2)
				require.Len(t, r.letters, 1)
				assert.Equal(t, tries, r.letters[0].Attempts)
				assert.Len(t, r.began, tries+1, "the handler of a1 was run again")
			})
		})
	}
}

// A handler that took all its time may still have its letter written without that being an overrun.
func TestSlowDeadLetterIsNoOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{HandlerTimeout: time.Minute, Grace: time.Second}, func(ctx context.Context, _ event) error {
			<-ctx.Done()
			return events.Errorf(events.Invalid, "no")
		})
		r.refuse = func(bus.DeadLetter) error {
			r.mu.Unlock()
			time.Sleep(time.Minute)
			r.mu.Lock()
			return nil
		}
		r.deliver(moved(0, "a1"))
		r.allHandled(1)
		assert.NoError(t, r.overrunError())
	})
}

// An outage that nobody named: every handler fails for an unknown reason.
func TestOutageFillsNoDeadLetters(t *testing.T) {
	for what, attempts := range map[string]int{"tried once": 1, "tried five times": 5} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var outage atomic.Bool
				outage.Store(true)
				r := newRig(t, bus.Options{Attempts: attempts, StallAfter: 3}, func(context.Context, event) error {
					if outage.Load() {
						return errors.New("?")
					}
					return nil
				})
				for n := range int64(26) {
					r.deliver(moved(n, fmt.Sprintf("%c1", 'a'+rune(n))))
				}
				pass(time.Hour)
				letters := len(r.letters)
				assert.Less(t, letters, 3, "those that came before it was an outage")
				assert.Equal(t, 1, r.logged(`msg="stalled`))
				assert.Zero(t, r.logged(`msg="no longer stalled`))
				outage.Store(false)
				r.allHandled(26)
				assert.Len(t, r.letters, letters)
				assert.Equal(t, 1, r.logged(`msg="no longer stalled`))
				assert.Len(t, r.done, 26-letters)
			})
		})
	}
}

// The tries of an outage do not count: whoever fails once more after a long one is not rejected for that.
func TestOutageUsesUpNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outage atomic.Bool
		outage.Store(true)
		failedOnceMore := map[string]bool{}
		var r *rig
		r = newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if outage.Load() || e.Data.ID > "f" && !failedOnceMore[name(e)] {
				failedOnceMore[name(e)] = !outage.Load()
				return errors.New("?")
			}
			return nil
		})
		r.deliver(batch(0, "a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1", "j1")...)
		pass(time.Hour)
		outage.Store(false)
		r.allHandled(10)
		assert.Empty(t, r.letters)
	})
}

func TestPoisonOnABusyTopicIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			if e.Data.ID == "p" {
				return errors.New("?")
			}
			return nil
		})
		r.deliver(moved(0, "p1"))
		for n := int64(1); n < 1000; n++ {
			r.deliver(moved(n, "a1"))
			if n == 500 {
				r.deliver(moved(n+500, "p2"))
			}
			pass(10 * time.Millisecond)
		}
		pass(time.Minute)
		assert.Len(t, r.letters, 2)
		assert.Zero(t, r.logged(`msg="stalled`))
	})
}

func TestThreePoisonInARowOnAQuietTopicStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			if e.Data.ID == "p" {
				return errors.New("?")
			}
			return nil
		})
		for n := range int64(3) {
			r.deliver(moved(n, fmt.Sprintf("p%d", n)))
			pass(time.Hour)
		}
		assert.Len(t, r.letters, 2)
		assert.Equal(t, 1, r.logged(`msg="stalled`))
		r.handledUpTo(2)
		r.deliver(moved(3, "a1")) // something succeeds: it was no outage
		r.allHandled(4)
		assert.Len(t, r.letters, 3)
	})
}

func TestUnreadableRecordIsRejectedAsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(context.Context, event) error { return nil })
		after := moved(43, "a1")
		after.LeaderEpoch = 6
		r.deliver(bus.Record{Topic: "moved", Offset: 42, LeaderEpoch: 5, Unreadable: errors.New("it decompresses to more than 4 MiB")}, after)
		r.allHandled(44)
		require.Len(t, r.letters, 1)
		assert.Equal(t, bus.TooLarge, r.letters[0].Class)
		assert.Contains(t, r.letters[0].Reason, "more than 4 MiB")
		_, epoch, _ := r.Handled()
		assert.EqualValues(t, 6, epoch)
	})
}
