package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Moved is an event type of the tests: numbered events about one subject, so that their order shows.
type Moved struct {
	events.Base
	Seq int `json:"seq"`
}

func (Moved) Topic() string { return "moved" }

type event = events.Event[Moved]

// name is the tests' name of an event: "a1" is the first of the subject a.
func name(e event) string { return fmt.Sprintf("%s%d", e.Data.ID, e.Data.Seq) }

// moved is a record with the subject's id, one letter, as its key.
func moved(offset int64, name string) bus.Record {
	r := keyless(offset, name)
	r.Key = []byte(name[:1])
	return r
}

// keyless is a record as the TypeScript app writes it.
func keyless(offset int64, name string) bus.Record {
	return bus.Record{
		Topic: "moved", Partition: 7, Offset: offset, Timestamp: time.Now(),
		Value: fmt.Appendf(nil, `{"eventId":"e-%s","eventType":"moved","data":{"id":%q,"seq":%s}}`, name, name[:1], name[1:]),
	}
}

// batch is the records of names, from an offset on.
func batch(offset int64, names ...string) []bus.Record {
	records := make([]bus.Record, len(names))
	for i, name := range names {
		records[i] = moved(offset+int64(i), name)
	}
	return records
}

type handler = func(context.Context, event) error

func unavailable(context.Context, event) error { return events.Errorf(events.Unavailable, "later") }
func refused(context.Context, event) error     { return events.Errorf(events.Invalid, "no") }

// slow is a handler that takes some time and respects its context.
func slow(d time.Duration) handler {
	return func(ctx context.Context, _ event) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// onKey applies a handler to one key; the others succeed.
func onKey(key string, h handler) handler {
	return func(ctx context.Context, e event) error {
		if e.Data.ID == key {
			return h(ctx, e)
		}
		return nil
	}
}

// rig is an engine with one partition, and a record of its handler's calls and its dead letters.
type rig struct {
	*bus.Partition
	t       *testing.T
	options bus.Options
	engine  *bus.Engine

	mu          sync.Mutex
	handle      handler                    // nil = success
	write       func(bus.DeadLetter) error // fails the write of a dead letter; nil = success
	began       []string
	done        []string // without error, in order of completion
	running     map[string]int
	most        int // handlers running at the same time
	deadLetters []bus.DeadLetter
	reports     []bus.Report
	rooms       int
	overrun     error
	log         strings.Builder
	unhandled   map[int64]bool // offsets
}

func newRig(t *testing.T, o bus.Options, handle handler) *rig {
	r := &rig{t: t, options: o, handle: handle, running: map[string]int{}, unhandled: map[int64]bool{}}
	r.newEngine()
	r.open()
	return r
}

func (r *rig) newEngine() {
	o := r.options
	o.Report, o.Logger = r.report, slog.New(slog.NewTextHandler(r, nil))
	o.Overrun = func(err error) { r.set(func() { r.overrun = err }) }
	r.engine = bus.NewEngine(bus.NewConsumer("movers", r.handler), writer{r}, o)
}

// open opens the partition, as a worker to which it was assigned.
func (r *rig) open() { r.openUntil(time.Time{}) }

// openFor opens the partition as an invocation of some length.
func (r *rig) openFor(d time.Duration) { r.openUntil(time.Now().Add(d)) }

func (r *rig) openUntil(end time.Time) {
	p := r.engine.Open(r.t.Context(), 7, end, func() { r.set(func() { r.rooms++ }) })
	r.Partition = p
	r.t.Cleanup(func() { _ = p.Close(context.Background()) })
}

// deliver delivers records and notes that Handled must not pass them yet.
func (r *rig) deliver(records ...bus.Record) {
	r.set(func() {
		for _, record := range records {
			r.unhandled[record.Offset] = true
		}
	})
	r.Deliver(records)
}

func (r *rig) handler(ctx context.Context, e event) error {
	r.mu.Lock()
	handle := r.handle
	r.began = append(r.began, name(e))
	r.running[e.Data.ID]++
	assert.Equal(r.t, 1, r.running[e.Data.ID], "handlers of key %s at the same time", e.Data.ID)
	all := 0
	for _, n := range r.running {
		all += n
	}
	r.most = max(r.most, all)
	r.mu.Unlock()
	defer r.set(func() { r.running[e.Data.ID]-- })
	if handle != nil {
		if err := handle(ctx, e); err != nil {
			return err
		}
	}
	r.set(func() { r.done = append(r.done, name(e)) })
	return nil
}

// becomes replaces the handler.
func (r *rig) becomes(h handler) { r.set(func() { r.handle = h }) }

// report checks at every report that Handled has not passed an unhandled event.
func (r *rig) report(report bus.Report) {
	handled, _, _ := r.Handled()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, report)
	for offset := range r.unhandled {
		if offset < handled {
			assert.Fail(r.t, "Handled passed an unhandled event", "handled %d, event %d", handled, offset)
		}
	}
	if report.Outcome == bus.Done || report.Outcome == bus.Rejected {
		delete(r.unhandled, report.Offset)
	}
}

// writer is the rig as bus.DeadLetters; the rig's own Write is of its log.
type writer struct{ *rig }

func (w writer) Write(_ context.Context, l bus.DeadLetter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.write != nil {
		if err := w.write(l); err != nil {
			return err
		}
	}
	w.deadLetters = append(w.deadLetters, l)
	return nil
}

// canWrite replaces the function that fails writes of dead letters.
func (r *rig) canWrite(err error) {
	r.set(func() { r.write = func(bus.DeadLetter) error { return err } })
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

// set calls f under the rig's lock.
func (r *rig) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// locked returns the result of f, called under the rig's lock.
func locked[T any](r *rig, f func() T) (result T) {
	r.set(func() { result = f() })
	return result
}

func (r *rig) rejected() int       { return locked(r, func() int { return len(r.deadLetters) }) }
func (r *rig) roomCalls() int      { return locked(r, func() int { return r.rooms }) }
func (r *rig) overrunError() error { return locked(r, func() error { return r.overrun }) }

func (r *rig) logged(text string) int {
	return locked(r, func() int { return strings.Count(r.log.String(), text) })
}

// allHandled waits until everything is handled and checks Handled.
func (r *rig) allHandled(next int64) {
	r.t.Helper()
	require.NoError(r.t, r.Wait(r.t.Context()))
	r.handledUpTo(next)
}

func (r *rig) handledUpTo(next int64) {
	r.t.Helper()
	handled, _, ok := r.Handled()
	assert.Equal(r.t, next, handled)
	assert.Equal(r.t, next > 0, ok)
}

// inOrder checks that the events of each subject were done in the order of their numbers.
func (r *rig) inOrder() {
	r.t.Helper()
	last := map[byte]string{}
	for _, name := range r.done {
		assert.Less(r.t, last[name[0]], name, "of %v", r.done)
		last[name[0]] = name
	}
}

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// pass lets time pass, and then everything that happens at that time.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
