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

// Moved is an event type that only tests have: many events about one thing, numbered, so that their order can be seen.
type Moved struct {
	events.Base
	Seq int `json:"seq"`
}

func (Moved) Topic() string { return "moved" }

type event = events.Event[Moved]

// name is how the tests call an event: "a1" is the first of the thing a.
func name(e event) string { return fmt.Sprintf("%s%d", e.Data.ID, e.Data.Seq) }

// moved is a record as we write it, with the thing's id as its key. The thing is a letter.
func moved(offset int64, name string) bus.Record {
	r := keyless(offset, name)
	r.Key = []byte(name[:1])
	return r
}

// keyless is a record as the TypeScript app writes it.
func keyless(offset int64, name string) bus.Record {
	return bus.Record{
		Topic: "moved", Partition: 7, Offset: offset, Timestamp: time.Unix(1e9, 0),
		Value: fmt.Appendf(nil, `{"eventId":"e-%s","eventType":"moved","data":{"id":%q,"seq":%s}}`, name, name[:1], name[1:]),
	}
}

// batch is the records of names from an offset on.
func batch(offset int64, names ...string) []bus.Record {
	records := make([]bus.Record, len(names))
	for i, name := range names {
		records[i] = moved(offset+int64(i), name)
	}
	return records
}

// rig is an engine with one partition whose handler and dead letters the test can look at.
type rig struct {
	*bus.Partition
	t       *testing.T
	options bus.Options

	mu      sync.Mutex
	began   []string
	done    []string // without error, in order of completion
	running map[string]int
	most    int // handlers running at the same time
	letters []bus.DeadLetter
	reports []bus.Report
	rooms   int
	overrun error
	log     strings.Builder

	handle  func(ctx context.Context, e event) error // what the handler does; nil = nothing
	refuse  func(bus.DeadLetter) error               // what the letter store answers; nil = it is written
	waiting map[int64]bool                           // the offsets delivered that are neither done nor in a letter
}

func newRig(t *testing.T, o bus.Options, handle func(context.Context, event) error) *rig {
	r := &rig{t: t, options: o, handle: handle, running: map[string]int{}, waiting: map[int64]bool{}}
	r.open()
	return r
}

// open opens the partition, as a worker does that has got it.
func (r *rig) open() {
	o := r.options
	o.Report, o.Overrun, o.Logger = r.report, r.overran, slog.New(slog.NewTextHandler(sink{r}, nil))
	engine := bus.NewEngine(bus.NewConsumer("movers", r.handler), r, o)
	partition := engine.Open(7, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rooms++
	})
	r.Partition = partition
	r.t.Cleanup(func() { _ = partition.Close(context.Background()) })
}

// deliver delivers records and notes what must not be passed.
func (r *rig) deliver(records ...bus.Record) {
	r.mu.Lock()
	for _, record := range records {
		r.waiting[record.Offset] = true
	}
	r.mu.Unlock()
	r.Deliver(records)
}

func (r *rig) handler(ctx context.Context, e event) error {
	r.mu.Lock()
	r.began = append(r.began, name(e))
	r.running[e.Data.ID]++
	assert.Equal(r.t, 1, r.running[e.Data.ID], "handlers of key %s at the same time", e.Data.ID)
	all := 0
	for _, n := range r.running {
		all += n
	}
	r.most = max(r.most, all)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running[e.Data.ID]--
	}()
	if r.handle != nil {
		if err := r.handle(ctx, e); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, name(e))
	return nil
}

// report checks at every report that Handled has not passed an event that is not handled.
func (r *rig) report(report bus.Report) {
	handled, _, _ := r.Handled()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, report)
	for offset := range r.waiting {
		if offset < handled {
			assert.Fail(r.t, "Handled passed an event that is not handled", "handled %d, event %d", handled, offset)
		}
	}
	if report.Outcome == bus.Done || report.Outcome == bus.Rejected {
		delete(r.waiting, report.Offset)
	}
}

func (r *rig) Write(_ context.Context, l bus.DeadLetter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if err := r.refuse(l); err != nil {
			return err
		}
	}
	r.letters = append(r.letters, l)
	return nil
}

// rejected returns the number of dead letters.
func (r *rig) rejected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.letters)
}

func (r *rig) overran(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overrun = err
}

// allHandled waits until all is handled and checks that Handled says so.
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

func (r *rig) overrunError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overrun
}

// inOrder checks that the events of each thing were done in the order of their numbers.
func (r *rig) inOrder() {
	r.t.Helper()
	last := map[byte]string{}
	for _, name := range r.done {
		assert.Less(r.t, last[name[0]], name, "of %v", r.done)
		last[name[0]] = name
	}
}

// sink makes the rig's log its own io.Writer.
type sink struct{ r *rig }

func (s sink) Write(b []byte) (int, error) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.r.log.Write(b)
}

// logged is how often the log holds a text.
func (r *rig) logged(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

// pass lets time pass, and then all that happens at that time.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
