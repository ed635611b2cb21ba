package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryTryIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := errors.New("?")
		r := newRig(t, bus.Options{Attempts: 3}, func(context.Context, event) error {
			time.Sleep(time.Second)
			return fault
		})
		r.deliver(moved(4, "a1"))
		r.allHandled(5)
		report := bus.Report{
			Position: bus.Position{Topic: "moved", Partition: 7, Offset: 4}, EventID: "e-a1",
			Outcome: bus.Failed, Attempt: 1, Took: time.Second, Err: fault,
		}
		want := []bus.Report{report, report, report}
		want[1].Attempt = 2
		want[2].Attempt, want[2].Outcome, want[2].Class = 3, bus.Rejected, bus.Exhausted
		for i := range r.reports {
			r.reports[i].Context = nil
		}
		assert.Equal(t, want, r.reports)
	})
}

// logging returns a rig with an engine for another handler or type, which logs to it.
func logging[T events.Payload](t *testing.T, o bus.Options, handle bus.Handler[T]) (*rig, *bus.Partition) {
	r := newRig(t, bus.Options{}, nil)
	o.Report = bus.Log(slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})), "movers", slog.LevelDebug)
	return r, bus.NewEngine(bus.NewConsumer("movers", handle), writer{r}, o).Open(t.Context(), 7, time.Time{}, nil)
}

func finish(t *testing.T, p *bus.Partition, records ...bus.Record) {
	p.Deliver(records)
	require.NoError(t, p.Wait(t.Context()))
	require.NoError(t, p.Close(t.Context()))
}

// Lines become rare but never end: an operator has to look into an event that is neither handled nor a dead letter.
func TestDeadLetterThatCannotBeWrittenIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Attempts: 5, MinBackoff: time.Second, MaxBackoff: time.Second}, unknown)
		r.canWrite(errors.New("no right to write"))
		r.deliver(moved(0, "a1"))
		pass(time.Hour)
		log := bus.Log(slog.New(slog.NewTextHandler(r, nil)), "movers", slog.LevelDebug)
		failures := 0
		require.NoError(t, r.Close(t.Context()))
		for _, report := range r.reports {
			log(report)
			failures = max(failures, report.DeadLetterFailures)
		}
		assert.Greater(t, failures, 2000)
		assert.Equal(t, 3, r.logged("outcome=failed"), "of tries 1 to 4")
		assert.Equal(t, bits.Len(uint(failures)), r.logged("no right to write"), "1st, 2nd, 4th, ... of %d", failures)
	})
}

// At level info there are no lines of events that were handled at once.
func TestLogLevels(t *testing.T) {
	for want, report := range map[string]bus.Report{
		"":           {Outcome: bus.Done, Attempt: 1},
		"level=INFO": {Outcome: bus.Done, Attempt: 2},
		"level=WARN": {Outcome: bus.Unavailable, Attempt: 1},
	} {
		var log strings.Builder
		bus.Log(slog.New(slog.NewTextHandler(&log, nil)), "movers", slog.LevelDebug)(report)
		assert.Contains(t, log.String(), want)
		assert.Equal(t, want == "", log.Len() == 0, report)
	}
}

// Ids are text of other programs, of any length.
func TestLogLineIsShort(t *testing.T) {
	for what, value := range map[string]string{
		"handled":  `{"eventId":"` + strings.Repeat("e", 900_000) + `","eventType":"moved","data":{"id":"a"}}`,
		"rejected": `{"eventId":"e","eventType":"` + strings.Repeat("moved", 200_000) + `","data":{"id":"a"}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			r, p := logging(t, bus.Options{}, func(context.Context, event) error { return nil })
			finish(t, p, bus.Record{Topic: "moved", Value: []byte(value)})
			assert.Contains(t, r.log.String(), "event_id=", what)
			assert.Less(t, r.log.Len(), 1000, what)
		})
	}
}

// Each try that panics is one line with ids and stack.
func TestPanicIsLoggedOnceWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := logging(t, bus.Options{Attempts: 2}, func(_ context.Context, e event) error { return []error{}[len(e.ID)] })
		finish(t, p, moved(4, "a1"))
		lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
		require.Len(t, lines, 2, "a line for each try")
		for i, level := range []string{"level=WARN ", "level=ERROR "} {
			for _, part := range []string{
				level, "partition=7 offset=4 event_id=e-a1", `error="panic: runtime error: index out of range [4] with length 0"`,
				"stack=", "TestPanicIsLoggedOnceWithItsStack",
			} {
				assert.Contains(t, lines[i], part)
			}
		}
	})
}

// fragile panics in the decoder.
type fragile struct{ Moved }

func (*fragile) UnmarshalJSON([]byte) error { panic("boom") }

// The first writes of the dead letter fail, so the event is retried without the decoder.
func TestPanicOfTheDecoderIsLoggedOnceWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := logging(t, bus.Options{}, func(context.Context, events.Event[fragile]) error { return nil })
		failures := 3
		r.write = func(bus.DeadLetter) error {
			if failures--; failures >= 0 {
				return errors.New("no right to write")
			}
			return nil
		}
		finish(t, p, moved(4, "a1"))
		require.Equal(t, 1, r.rejected())
		assert.Equal(t, bus.Undecodable, r.deadLetters[0].Class)
		assert.Equal(t, 1, r.logged("stack="))
		first, _, _ := strings.Cut(r.log.String(), "\n")
		for _, part := range []string{
			"level=WARN ", "partition=7 offset=4", "no right to write", "the decoder panics on it",
			"panic: a value of type string", "fragile",
		} {
			assert.Contains(t, first, part)
		}
	})
}

const parent trace.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTracerFollowsEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var r *rig
		var calls []string
		call := func(format string, args ...any) {
			r.set(func() { calls = append(calls, fmt.Sprintf(format, args...)) })
		}
		trace := func(ctx context.Context, group, eventID string, record *bus.Record) (context.Context, func(bus.Report)) {
			from, _ := trace.From(ctx)
			call("begin %s %s %d %s", group, eventID, record.Offset, from)
			return context.WithValue(ctx, key{}, eventID), func(report bus.Report) {
				call("%s %d %s%s", eventID, report.Attempt, report.Outcome, report.Class)
			}
		}
		r = newRig(t, bus.Options{Tracer: trace, Attempts: 2}, func(ctx context.Context, e event) error {
			assert.Equal(t, "e-"+name(e), ctx.Value(key{}))
			switch name(e) {
			case "a1":
				return unknown(ctx, e)
			case "a3":
				return unavailable(ctx, e)
			}
			return nil
		})
		records := append(batch(0, "a1", "a2"), bus.Record{Topic: "moved", Offset: 2, Key: []byte("a"), Value: []byte("?")})
		records[1].Headers = []bus.Header{{Key: "traceparent", Value: []byte(parent)}}
		r.deliver(append(records, batch(3, "a3")...)...)
		pass(time.Minute)
		assert.NoError(t, r.Close(t.Context()))
		assert.NoError(t, r.Close(t.Context()))
		assert.Equal(t, []string{
			"begin movers e-a1 0 ", "e-a1 1 failed", "e-a1 2 rejectedexhausted",
			"begin movers e-a2 1 " + string(parent), "e-a2 1 done",
			"begin movers  2 ", " 1 rejectedundecodable",
			"begin movers e-a3 3 ", "e-a3 1 unavailable",
		}, calls[:9])
		assert.Equal(t, "e-a3 0 ", calls[len(calls)-1])
	})
}
