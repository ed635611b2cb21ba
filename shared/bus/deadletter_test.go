package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
				r.deliver(record)
				r.allHandled(43)
				require.Equal(t, 1, r.rejected())
				l := r.deadLetters[0]
				require.Equal(t, record, l.Record) // distinguishes nil from empty

				encoded := l.Encode()
				assert.Equal(t, "moved.dead-letters", encoded.Topic)
				assert.Equal(t, record.Key, encoded.Key)
				assert.Equal(t, record.Value, encoded.Value)
				n := len(record.Headers)
				assert.Equal(t, append([]bus.Header{}, record.Headers...), encoded.Headers[:n])
				own := map[string]string{}
				for _, h := range encoded.Headers[n:] {
					own[h.Key] = string(h.Value)
				}
				assert.Equal(t, map[string]string{
					bus.HeaderReason: l.Reason, bus.HeaderClass: string(l.Class), bus.HeaderConsumer: "movers",
					bus.HeaderTopic: "moved", bus.HeaderPartition: "7", bus.HeaderOffset: "42",
					bus.HeaderTimestamp: "2001-09-09T01:46:40.005Z", bus.HeaderAttempts: "1",
					bus.HeaderAt: time.Now().UTC().Format(time.RFC3339Nano), bus.HeaderLastAttempts: "2000-01-01T00:00:00Z/0s",
				}, own)
				parsed, ok := bus.ParseDeadLetter(encoded)
				assert.True(t, ok)
				parsed.Record.Timestamp, parsed.At = parsed.Record.Timestamp.Local(), l.At
				if len(parsed.Record.Headers) == 0 {
					parsed.Record.Headers = nil
				}
				assert.Equal(t, l, parsed)
			})
		})
	}
}

// A producer may set any number as the time of a record, such as nanoseconds for milliseconds.
func TestDeadLetterOfARecordOfTheFarFuture(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(time.Now().UnixNano()), time.UnixMilli(-1 << 62), {}} {
		l := bus.DeadLetter{Record: bus.Record{Topic: "moved", Timestamp: at}, Class: bus.Panicked, At: time.Now()}
		_, ok := bus.ParseDeadLetter(l.Encode())
		assert.True(t, ok, "%v", at)
	}
}

func TestReasonIsShortText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(context.Context, event) error {
			return events.Errorf(events.Invalid, "%s", "\xff\x1b[2J\r\n\u202e\u009b"+strings.Repeat("ü", 1000))
		})
		r.deliver(moved(0, "a1"))
		r.allHandled(1)
		assert.Equal(t, "\ufffd [2J ü", r.deadLetters[0].Reason[:len("\ufffd [2J ü")], "a terminal obeys none of it")
		assert.LessOrEqual(t, len(r.deadLetters[0].Reason), 1000)
		assert.NotEmpty(t, r.deadLetters[0].Reason)
		assert.True(t, utf8.ValidString(r.deadLetters[0].Reason))
	})
}

// A rejected event is handled once its dead letter is written. Until then its handler does not run again and its key waits.
func TestDeadLetterIsAwaited(t *testing.T) {
	for what, handle := range map[string]handler{
		"refused": refused, "exhausted": func(context.Context, event) error { return errors.New("?") },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Attempts: 2}, func(ctx context.Context, e event) error {
					if name(e) == "a1" {
						return handle(ctx, e)
					}
					return nil
				})
				r.canWrite(errors.New("full"))
				r.deliver(batch(0, "a1", "a2")...)
				pass(time.Hour)
				tries := len(r.began)
				assert.NotContains(t, r.began, "a2")
				r.handledUpTo(0)
				last := locked(r, func() bus.Report { return r.reports[len(r.reports)-1] })
				assert.Equal(t, bus.Unavailable, last.Outcome)
				assert.Equal(t, tries, last.Attempt)
				assert.ErrorContains(t, last.Err, "dead letter")

				r.canWrite(nil)
				r.allHandled(2)
				require.Equal(t, 1, r.rejected())
				assert.Equal(t, tries, r.deadLetters[0].Attempts)
				assert.Len(t, r.began, tries+1, "the handler of a1 ran again")
			})
		})
	}
}

// A handler that took all its time may still have its dead letter written without an overrun.
func TestSlowDeadLetterIsNoOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{HandlerTimeout: time.Minute, Grace: time.Second}, func(ctx context.Context, e event) error {
			<-ctx.Done()
			return refused(ctx, e)
		})
		r.write = func(bus.DeadLetter) error {
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
