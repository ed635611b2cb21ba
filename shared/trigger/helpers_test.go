package trigger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
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

func moved(partition int32, offset int64, name string) bus.Record {
	return bus.Record{
		Topic: "moved", Partition: partition, Offset: offset, Timestamp: time.UnixMilli(1e12), Key: []byte(name[:1]),
		Value: fmt.Appendf(nil, `{"eventId":"e-%s","eventType":"moved","data":{"id":%q,"seq":%s}}`, name, name[:1], name[1:]),
	}
}

// batch is the payload of records; those of a partition are written as "partition/offset:name".
func batch(t *testing.T, records ...string) []byte {
	t.Helper()
	var all []bus.Record
	for _, r := range records {
		var partition int32
		var offset int64
		var name string
		_, err := fmt.Sscanf(strings.ReplaceAll(r, ":", " "), "%d/%d %s", &partition, &offset, &name)
		require.NoError(t, err, r)
		all = append(all, moved(partition, offset, name))
	}
	return encode(all...)
}

// recorder is a handler with a consumer and dead letters that the test can inspect.
type recorder struct {
	*trigger.Handler
	t           *testing.T
	mu          sync.Mutex
	began       []string
	done        []string
	deadLetters []string // names of events
	overran     []error
	log         strings.Builder
	running     int

	handle func(context.Context, event) error // nil = nothing
	refuse error                              // the error of writing a dead letter
}

func newRecorder(t *testing.T, o trigger.Options, handle func(context.Context, event) error) *recorder {
	r := &recorder{t: t, handle: handle}
	o.Logger = slog.New(slog.NewTextHandler(sink{r}, nil))
	o.Delivery.Overrun = func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.overran = append(r.overran, err)
	}
	r.Handler = trigger.New(bus.NewConsumer("movers", r.handler), r, o)
	return r
}

func (r *recorder) handler(ctx context.Context, e event) error {
	r.mu.Lock()
	r.began = append(r.began, name(e))
	r.running++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running--
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

func (r *recorder) Write(_ context.Context, l bus.DeadLetter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse == nil {
		e, _ := events.Decode[Moved](l.Record.Value)
		r.deadLetters = append(r.deadLetters, name(e))
	}
	return r.refuse
}

// invoke invokes the handler with a deadline, and checks that it is kept and that nothing runs afterwards.
func (r *recorder) invoke(timeout time.Duration, payload []byte) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	answer, err := r.Invoke(ctx, payload)
	require.NoError(r.t, ctx.Err(), "it must answer before its deadline")
	r.still()
	return string(answer), err
}

// still checks that nothing runs, nor starts later. It is for tests in a synctest bubble.
func (r *recorder) still() {
	r.t.Helper()
	r.mu.Lock()
	running, began, done, deadLetters := r.running, len(r.began), len(r.done), len(r.deadLetters)
	r.mu.Unlock()
	assert.Zero(r.t, running, "handlers run on")
	pass(time.Hour)
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Len(r.t, r.began, began, "a handler was begun after the answer")
	assert.Len(r.t, r.done, done)
	assert.Len(r.t, r.deadLetters, deadLetters)
}

// pass lets time pass, and then all that happens at that time.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// sink makes the log its own io.Writer.
type sink struct{ r *recorder }

func (s sink) Write(b []byte) (int, error) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.r.log.Write(b)
}

// returned lists the records that an answer returns for retry, as "partition/offset".
func returned(t *testing.T, answer string) []string {
	t.Helper()
	var r struct {
		BatchItemFailures []struct {
			ItemIdentifier struct {
				Partition string
				Offset    int64
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &r), answer)
	require.NotNil(t, r.BatchItemFailures, answer)
	back := []string{}
	for _, f := range r.BatchItemFailures {
		partition, ok := strings.CutPrefix(f.ItemIdentifier.Partition, "moved-")
		require.True(t, ok, answer)
		back = append(back, fmt.Sprintf("%s/%d", partition, f.ItemIdentifier.Offset))
	}
	return back
}

var (
	errDown = events.Errorf(events.Unavailable, "down")
	errNot  = events.Errorf(events.Invalid, "not like this")
)

// unless is a handler that fails the named events with err.
func unless(err error, names ...string) func(context.Context, event) error {
	return func(_ context.Context, e event) error {
		for _, n := range names {
			if name(e) == n {
				return err
			}
		}
		return nil
	}
}
