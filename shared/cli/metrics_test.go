package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type fullStore struct{ refuses int }

func (f *fullStore) Write(context.Context, bus.DeadLetter) error {
	if f.refuses--; f.refuses >= 0 {
		return errors.New("no right to write")
	}
	return nil
}

// Writing a dead letter is retried; the event is not handled again.
func TestRewritesOfADeadLetterAreNoTriesOfItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := observe.NewMetrics("")
		handler := func(context.Context, events.Event[events.ContactCreated]) error { return errors.New("?") }
		consumer := bus.NewConsumer("readers", handler)
		p := bus.NewEngine(consumer, &fullStore{refuses: 20}, bus.Options{
			Attempts: 3, Report: m.Events(consumer.Topic, consumer.Group), Logger: slog.New(slog.DiscardHandler),
		}).Open(t.Context(), 0, time.Time{}, nil)
		p.Deliver([]bus.Record{{Topic: consumer.Topic, Timestamp: time.Now(),
			Value: []byte(`{"eventId":"e","eventType":"contact-created","data":{"id":"c","timestamp":"2026-11-23T06:54:21Z"}}`)}})
		require.NoError(t, p.Wait(t.Context()))
		require.NoError(t, p.Close(t.Context()))

		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		var counted []string
		for line := range strings.Lines(w.Body.String()) {
			name, rest, _ := strings.Cut(line, "{")
			if _, value, _ := strings.Cut(rest, "} "); strings.HasPrefix(name, "sipeat_") && value != "0\n" &&
				(strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_count")) {
				counted = append(counted, strings.TrimSpace(line))
			}
		}
		const labels = `consumer="readers",`
		assert.ElementsMatch(t, []string{
			`sipeat_dead_letters_total{class="exhausted",` + labels + `topic="contact-created"} 1`,
			`sipeat_event_retries_total{` + labels + `topic="contact-created"} 2`,
			`sipeat_event_try_duration_seconds_count{` + labels + `outcome="failed",topic="contact-created"} 2`,
			`sipeat_event_try_duration_seconds_count{` + labels + `outcome="unavailable",topic="contact-created"} 1`,
			`sipeat_events_handled_total{` + labels + `outcome="rejected",topic="contact-created"} 1`,
		}, counted)
	})
}
