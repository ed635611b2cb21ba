package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/stretchr/testify/assert"
)

const parent trace.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// tracer writes down what it is told.
type tracer struct {
	mu   sync.Mutex
	told []string
}

type tracerKey struct{}

func (t *tracer) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = append(t.told, fmt.Sprintf(format, args...))
}

func (t *tracer) Begin(ctx context.Context, group, eventID string, r *bus.Record) (context.Context, bus.Trace) {
	came, _ := trace.From(ctx)
	t.say("begin %s %s %d %s", group, eventID, r.Offset, came)
	return context.WithValue(ctx, tracerKey{}, eventID), followed{t, eventID}
}

type followed struct {
	*tracer
	eventID string
}

func (f followed) Tried(r bus.Report) {
	f.say("%s %d %s%s", f.eventID, r.Attempt, r.Outcome, r.Class)
}
func (f followed) Returned() { f.say("%s given back", f.eventID) }

func TestATracerFollowsEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		followed := &tracer{}
		tries := 0
		r := newRig(t, bus.Options{Tracer: followed, Attempts: 2}, func(ctx context.Context, e event) error {
			assert.Equal(t, "e-"+name(e), ctx.Value(tracerKey{}))
			switch tries++; name(e) {
			case "a1":
				return errors.New("?")
			case "a3":
				return events.Errorf(events.Unavailable, "later")
			}
			return nil
		})
		records := append(batch(0, "a1", "a2"), bus.Record{Topic: "moved", Offset: 2, Key: []byte("a"), Value: []byte("?")})
		records[1].Headers = []bus.Header{{Key: "traceparent", Value: []byte(parent)}}
		r.deliver(append(records, batch(3, "a3")...)...)
		pass(time.Minute)
		assert.NoError(t, r.Close(t.Context()))
		assert.NoError(t, r.Close(t.Context()))
		last := len(followed.told) - 1
		assert.Equal(t, []string{
			"begin movers e-a1 0 ", "e-a1 1 failed", "e-a1 2 rejectedexhausted",
			"begin movers e-a2 1 " + string(parent), "e-a2 1 done",
			"begin movers  2 ", " 1 rejectedundecodable",
			"begin movers e-a3 3 ", "e-a3 1 unavailable",
		}, followed.told[:9])
		assert.Equal(t, "e-a3 given back", followed.told[last])
	})
}

func TestTheTraceOfARecordReachesItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came := map[string]trace.Parent{}
		r := newRig(t, bus.Options{Concurrency: 1}, func(ctx context.Context, e event) error {
			came[name(e)], _ = trace.From(ctx)
			return nil
		})
		records := batch(0, "a1", "a2", "a3")
		records[0].Headers = []bus.Header{{Key: "other"}, {Key: "traceparent", Value: []byte(parent)}}
		records[1].Headers = []bus.Header{{Key: "traceparent", Value: []byte("no")}}
		r.deliver(records...)
		r.allHandled(3)
		assert.Equal(t, map[string]trace.Parent{"a1": parent, "a2": "", "a3": ""}, came)
		for _, report := range r.reports {
			said, _ := trace.From(report.Context)
			assert.Equal(t, came[strings.TrimPrefix(report.EventID, "e-")], said, report.EventID)
		}
	})
}

func TestAReportHoldsNothingOfTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Attempts: 1}, func(_ context.Context, e event) error {
			panic("cannot keep " + e.Data.ID + " of Ada Lovelace")
		})
		record := moved(0, "a1")
		record.Value = []byte(`{"eventId":"e","eventType":"moved","data":{"id":"a","seq":1,"name":"Ada Lovelace"}}`)
		r.deliver(record)
		r.allHandled(1)
		assert.EqualError(t, r.reports[0].Err, "panic: a value of type string")
		assert.Equal(t, bus.Panicked, r.reports[0].Class)
		assert.Equal(t, 0, r.logged("Lovelace"))
	})
}

func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := true
		r := newRig(t, bus.Options{MinBackoff: time.Second, MaxBackoff: time.Second}, func(context.Context, event) error {
			if outage {
				return events.Errorf(events.Unavailable, "later")
			}
			return nil
		})
		assert.Equal(t, bus.State{}, r.State())
		r.deliver(batch(5, "a1", "b1")...)
		synctest.Wait()
		s := r.State()
		assert.Equal(t, time.Unix(1e9, 0), s.Oldest)
		assert.Equal(t, 2, s.Buffered)
		assert.Positive(t, s.Bytes)
		outage = false
		r.allHandled(7)
		assert.Equal(t, bus.State{Handled: 7}, r.State())
	})
}
