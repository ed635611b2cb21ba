package program

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// metric is the value of one series, labels in their order.
func metric(scraped, series string) (value float64, ok bool) {
	for _, line := range Lines(scraped) {
		if rest, found := strings.CutPrefix(line, series+" "); found {
			value, err := strconv.ParseFloat(rest, 64)
			return value, err == nil
		}
	}
	return 0, false
}

func (w *watching) counts(series string, want float64) {
	w.t.Helper()
	Until(w.t, func() error {
		if got, ok := metric(w.scrape(), series); !ok || got != want {
			return fmt.Errorf("%s is %v (%v), not %v", series, got, ok, want)
		}
		return nil
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := watch(t)
	const machines = `{consumer="sipeat-machine-consumer",`
	for range 2 {
		require.Equal(t, http.StatusAccepted, Call(t, "POST", w.url+"/contacts", AContact, "Content-Type: application/json").Status)
	}
	Call(t, "GET", w.url+"/nowhere/at/all", "")
	w.fails(nil, func(string, any) error { return errors.New("?") })
	machine := Decoded[Accepted](t, Call(t, "POST", w.url+"/machines", aMachine, "Content-Type: application/json").Body)

	w.counts(`sipeat_events_handled_total{consumer="sipeat-contact-consumer",outcome="done",topic="contact-created"}`, 2)
	w.counts(`sipeat_events_handled_total{consumer="sipeat-notification-consumer",outcome="done",topic="notification"}`, 2)
	w.counts(`sipeat_events_handled_total`+machines+`outcome="rejected",topic="machine-created"}`, 1)
	w.counts(`sipeat_event_retries_total`+machines+`topic="machine-created"}`, 1)
	w.counts(`sipeat_dead_letters_total{class="exhausted",consumer="sipeat-machine-consumer",topic="machine-created"}`, 1)
	w.counts(`sipeat_event_try_duration_seconds_count`+machines+`outcome="failed",topic="machine-created"}`, 1)
	w.counts(`sipeat_publish_duration_seconds_count{outcome="written",topic="notification"}`, 2)
	w.counts(`sipeat_notify_duration_seconds_count{outcome="sent"}`, 2)
	w.counts(`sipeat_http_request_duration_seconds_count{code="202",route="POST /contacts"}`, 2)
	w.counts(`sipeat_http_request_duration_seconds_count{code="404",route="none"}`, 1)
	w.counts(`sipeat_http_requests_in_flight`, 0)

	at := fmt.Sprintf(`%spartition="%d",topic="machine-created"}`, machines, machine.Partition)
	w.counts("sipeat_consumer_lag_events"+at, 0)
	w.fails(nil, func(string, any) error { return events.Errorf(events.Unavailable, "later") })
	for range 8 {
		Call(t, "POST", w.url+"/machines", aMachine, "Content-Type: application/json", "Idempotency-Key: the same, so the partition is too")
	}
	again := Decoded[Accepted](t, Call(t, "POST", w.url+"/machines", aMachine, "Content-Type: application/json", "Idempotency-Key: k").Body)
	at = fmt.Sprintf(`%spartition="%d",topic="machine-created"}`, machines, again.Partition)
	Until(t, func() error {
		scraped := w.scrape()
		lag, _ := metric(scraped, "sipeat_consumer_lag_events"+at)
		inHand, _ := metric(scraped, "sipeat_events_in_hand"+at)
		age, _ := metric(scraped, "sipeat_oldest_unhandled_event_age_seconds"+at)
		if lag < 1 || inHand < 1 || age <= 0 {
			return fmt.Errorf("lag %v, in hand %v, age %v", lag, inHand, age)
		}
		return nil
	})
	w.counts(`sipeat_consumer_stalled`+machines+`topic="machine-created"}`, 0)
	w.fails(nil, nil)
	w.counts("sipeat_consumer_lag_events"+at, 0)

	problems, err := promlint.New(strings.NewReader(w.scrape())).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestMetricsHaveAnAddressOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir(), "METRICS=127.0.0.1:0")
	s.Ready()
	assert.Equal(t, http.StatusNotFound, Call(t, "GET", s.URL+"/metrics", "").Status)
	s.Says(s.Stderr, `"msg":"metrics"`)
	_, rest, _ := strings.Cut(s.Stderr.String(), `"url":"`)
	url, _, _ := strings.Cut(rest, `"`)
	scraped := Call(t, "GET", url, "")
	assert.Equal(t, http.StatusOK, scraped.Status)
	assert.Contains(t, scraped.Body, "sipeat_build_info{")
	assert.Contains(t, scraped.Body, "go_goroutines ")
}

func TestServeLogsAsAsked(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"": `{"time":`, "json": `{"time":`, "text": "time="} {
		s := launch(t, t.TempDir(), "LOG_FORMAT="+format)
		s.Ready()
		s.Post("/contacts", AContact)
		s.Says(s.Stderr, want)
	}
	c := command(t, "serve")
	c.Env = append(c.Env, "LOG_FORMAT=xml", "METRICS=9090")
	got := Finish(t, c, "")
	assert.Equal(t, 2, got.Status)
	assert.Contains(t, got.Stderr, "LOG_FORMAT")
	assert.Contains(t, got.Stderr, "METRICS")
}
