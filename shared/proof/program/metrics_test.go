package program

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
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

// Metrics count events, requests and notifications, and show the lag while notifications cannot be delivered.
func TestMetrics(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	discord := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(discord.Close)
	s := serve(t, t.TempDir(), "METRICS=127.0.0.1:0", "NOTIFY=discord", "DISCORD_WEBHOOK="+discord.URL+"/api/webhooks/1/x",
		"OTEL_TRACES_EXPORTER= ") // blank is not set
	assert.Equal(t, http.StatusNotFound, Call(t, "GET", s.URL+"/metrics", "").Status, "METRICS gives them an address apart")
	s.Says(s.Stderr, `"msg":"metrics"`)
	_, rest, _ := strings.Cut(s.Stderr.String(), `"url":"`)
	url, _, _ := strings.Cut(rest, `"`)
	scrape := func() string { return Call(t, "GET", url, "").Body }
	counts := func(series string, want float64) {
		t.Helper()
		Until(t, func() error {
			if got, ok := metric(scrape(), series); !ok || got != want {
				return fmt.Errorf("%s is %v (%v), not %v", series, got, ok, want)
			}
			return nil
		})
	}
	for range 2 {
		s.Post("/contacts", AContact)
	}
	Call(t, "GET", s.URL+"/nowhere/at/all", "")
	c := client(t, s.Kafka)
	require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "machine-created", Value: []byte("poison")}).FirstErr())

	counts(`sipeat_events_handled_total{consumer="sipeat-contact-consumer",outcome="done",topic="contact-created"}`, 2)
	counts(`sipeat_events_handled_total{consumer="sipeat-notification-consumer",outcome="done",topic="notification"}`, 2)
	counts(`sipeat_dead_letters_total{class="undecodable",consumer="sipeat-machine-consumer",topic="machine-created"}`, 1)
	counts(`sipeat_publish_duration_seconds_count{outcome="written",topic="notification"}`, 2)
	counts(`sipeat_notify_duration_seconds_count{outcome="sent"}`, 2)
	counts(`sipeat_http_request_duration_seconds_count{code="202",route="POST /contacts"}`, 2)
	counts(`sipeat_http_request_duration_seconds_count{code="404",route="none"}`, 2)

	away.Store(true)
	stuck := s.Post("/notifications", aNotification)
	at := fmt.Sprintf(`{consumer="sipeat-notification-consumer",partition="%d",topic="notification"}`, stuck.Partition)
	counts("sipeat_consumer_lag_events"+at, 1)
	away.Store(false)
	counts("sipeat_consumer_lag_events"+at, 0)

	problems, err := promlint.New(strings.NewReader(scrape())).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}
