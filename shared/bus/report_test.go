package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strings"
	"sync"
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
			Topic: "moved", Partition: 7, Offset: 4, EventID: "e-a1", Outcome: bus.Failed, Attempt: 1, Took: time.Second, Err: fault,
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
	o.Logger = slog.New(slog.NewTextHandler(r, nil))
	return r, bus.NewEngine(bus.NewConsumer("movers", handle), writer{r}, o).Open(7, nil)
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
		log := bus.Log(slog.New(slog.NewTextHandler(r, nil)), "movers")
		failures := 0
		for _, report := range locked(r, func() []bus.Report { return r.reports }) {
			log(report)
			failures = max(failures, report.DeadLetterFailures)
		}
		assert.Greater(t, failures, 2000)
		assert.Equal(t, 3, r.logged("outcome=failed"), "of tries 1 to 4")
		assert.Equal(t, bits.Len(uint(failures)), r.logged("no right to write"), "1st, 2nd, 4th, ... of %d", failures)
	})
}

// Ids are text of other programs, of any length.
func TestLogLineIsShort(t *testing.T) {
	for what, value := range map[string]string{
		"handled":  `{"eventId":"` + strings.Repeat("e", 900_000) + `","eventType":"moved","data":{"id":"a"}}`,
		"rejected": `{"eventId":"e","eventType":"` + strings.Repeat("moved", 200_000) + `","data":{"id":"a"}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			var r *rig
			o := bus.Options{Report: func(report bus.Report) { bus.Log(slog.New(slog.NewTextHandler(r, nil)), "movers")(report) }}
			r, p := logging(t, o, func(context.Context, event) error { return nil })
			finish(t, p, bus.Record{Topic: "moved", Value: []byte(value)})
			assert.Contains(t, r.log.String(), "event_id=", what)
			assert.Less(t, r.log.Len(), 1000, what)
		})
	}
}

// Each try that panics is one line with ids and stack, with and without a Report option.
func TestPanicIsLoggedOnceWithItsStack(t *testing.T) {
	for what, report := range map[string]func(bus.Report){"no Report": nil, "Report": bus.Log(slog.Default(), "movers")} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r *rig
				o := bus.Options{Attempts: 2}
				if report != nil {
					o.Report = func(report bus.Report) { bus.Log(slog.New(slog.NewTextHandler(r, nil)), "movers")(report) }
				}
				r, p := logging(t, o, func(_ context.Context, e event) error { return []error{}[len(e.ID)] })
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
		})
	}
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

func TestReportHoldsNoPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Attempts: 1}, func(_ context.Context, e event) error {
			panic("cannot keep " + e.Data.ID + " of Ada Lovelace")
		})
		r.deliver(moved(0, "a1"))
		r.allHandled(1)
		assert.EqualError(t, r.reports[0].Err, "panic: a value of type string")
		assert.Equal(t, bus.Panicked, r.reports[0].Class)
		assert.Zero(t, r.logged("Lovelace"))
	})
}

const parent trace.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// tracer records the calls that it gets.
type tracer struct {
	mu    sync.Mutex
	calls []string
}

type tracerKey struct{}

func (t *tracer) call(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, fmt.Sprintf(format, args...))
}

func (t *tracer) Begin(ctx context.Context, group, eventID string, r *bus.Record) (context.Context, bus.Trace) {
	from, _ := trace.From(ctx)
	t.call("begin %s %s %d %s", group, eventID, r.Offset, from)
	return context.WithValue(ctx, tracerKey{}, eventID), tracedEvent{t, eventID}
}

type tracedEvent struct {
	*tracer
	eventID string
}

func (e tracedEvent) Tried(r bus.Report) {
	e.call("%s %d %s%s", e.eventID, r.Attempt, r.Outcome, r.Class)
}
func (e tracedEvent) Returned() { e.call("%s returned", e.eventID) }

func TestTracerFollowsEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer := &tracer{}
		r := newRig(t, bus.Options{Tracer: tracer, Attempts: 2}, func(ctx context.Context, e event) error {
			assert.Equal(t, "e-"+name(e), ctx.Value(tracerKey{}))
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
		}, tracer.calls[:9])
		assert.Equal(t, "e-a3 returned", tracer.calls[len(tracer.calls)-1])
	})
}
