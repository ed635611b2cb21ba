package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Lines grow rare and never end, whatever the number of attempts is: an event that is handled no more and is in no dead
// letter either is somebody's to look into.
func TestADeadLetterThatCannotBeWrittenIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Attempts: 5, MinBackoff: time.Second, MaxBackoff: time.Second}, func(context.Context, event) error {
			return errors.New("?")
		})
		r.refuse = func(bus.DeadLetter) error { return errors.New("no right to write") }
		r.deliver(moved(0, "a1"))
		pass(time.Hour)
		var lines strings.Builder
		log := bus.Log(slog.New(slog.NewTextHandler(&lines, nil)), "movers")
		r.mu.Lock()
		defer r.mu.Unlock()
		letters := 0
		for _, report := range r.reports {
			log(report)
			letters = max(letters, report.DeadLetterFailures)
		}
		assert.Greater(t, letters, 2000)
		assert.Equal(t, 3, strings.Count(lines.String(), "outcome=failed"), "of tries 1 to 4")
		assert.Equal(t, bits.Len(uint(letters)), strings.Count(lines.String(), "no right to write"), "1st, 2nd, 4th … of %d", letters)
	})
}

// Ids are another program's text, of any length.
func TestALogLineIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, nil)
		for what, value := range map[string]string{
			"handled":  `{"eventId":"` + strings.Repeat("e", 900_000) + `","eventType":"moved","data":{"id":"a"}}`,
			"rejected": `{"eventId":"e","eventType":"` + strings.Repeat("moved", 200_000) + `","data":{"id":"a"}}`,
		} {
			r.log.Reset()
			logger := slog.New(slog.NewTextHandler(sink{r}, nil))
			nothing := func(context.Context, event) error { return nil }
			p := bus.NewEngine(bus.NewConsumer("movers", nothing), r, bus.Options{Report: bus.Log(logger, "movers")}).Open(7, nil)
			record := moved(0, "a1")
			record.Value = []byte(value)
			p.Deliver([]bus.Record{record})
			assert.NoError(t, p.Wait(t.Context()))
			assert.NoError(t, p.Close(t.Context()))
			assert.Contains(t, r.log.String(), "event_id=", what)
			assert.Less(t, r.log.Len(), 1000, what)
		}
	})
}

// A panic is in one line for each try that is logged, with its ids and its stack, whether somebody is told of tries or not.
func TestAPanicIsLoggedOnceWithItsStack(t *testing.T) {
	for what, report := range map[string]bool{"told of tries": true, "told of nothing": false} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{}, nil)
				o := bus.Options{Attempts: 2, Logger: slog.New(slog.NewTextHandler(sink{r}, nil))}
				if report {
					o.Report = bus.Log(o.Logger, "movers")
				}
				explode := func(_ context.Context, e event) error { return []error{}[len(e.ID)] }
				p := bus.NewEngine(bus.NewConsumer("movers", explode), r, o).Open(7, nil)
				p.Deliver(batch(4, "a1"))
				assert.NoError(t, p.Wait(t.Context()))
				assert.NoError(t, p.Close(t.Context()))
				lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
				require.Len(t, lines, 2, "a line for each try")
				for i, outcome := range []string{"level=WARN ", "level=ERROR "} {
					for _, says := range []string{outcome, "partition=7 offset=4 event_id=e-a1", `error="panic: runtime error: index out of range [4] with length 0"`, "stack=", "TestAPanicIsLoggedOnceWithItsStack"} {
						assert.Contains(t, lines[i], says)
					}
				}
			})
		})
	}
}

// fragile panics in the decoder.
type fragile struct{ Moved }

func (*fragile) UnmarshalJSON([]byte) error { panic("boom") }

// The letter cannot be written at first, so that it is tried again without the decoder.
func TestAPanicOfTheDecoderIsLoggedOnceWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, nil)
		refusals := 3
		r.refuse = func(bus.DeadLetter) error {
			if refusals--; refusals >= 0 {
				return errors.New("no right to write")
			}
			return nil
		}
		logger := slog.New(slog.NewTextHandler(sink{r}, nil))
		nothing := func(context.Context, events.Event[fragile]) error { return nil }
		p := bus.NewEngine(bus.NewConsumer("movers", nothing), r, bus.Options{Report: bus.Log(logger, "movers")}).Open(7, nil)
		p.Deliver(batch(4, "a1"))
		assert.NoError(t, p.Wait(t.Context()))
		assert.NoError(t, p.Close(t.Context()))
		require.Len(t, r.letters, 1)
		assert.Equal(t, bus.Undecodable, r.letters[0].Class)
		assert.Equal(t, 1, strings.Count(r.log.String(), "stack="))
		first, _, _ := strings.Cut(r.log.String(), "\n")
		for _, says := range []string{"level=WARN ", "partition=7 offset=4", "no right to write", "the decoder panics on it", "panic: a value of type string", "fragile"} {
			assert.Contains(t, first, says)
		}
	})
}
