package program

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/local"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestWorkerServesItsHealth(t *testing.T) {
	t.Parallel()
	broker, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Address: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	f := newFleet(t, broker.Address())
	w := f.Worker("HEALTH=127.0.0.1:0")
	w.Says(w.Stderr, "/readyz")
	_, rest, _ := strings.Cut(w.Stderr.String(), "url=http://")
	address, _, _ := strings.Cut(rest, "/readyz")
	assert.JSONEq(t, `{"status":"alive"}`, Call(t, "GET", "http://"+address+"/healthz", "").Body)
	ready := Call(t, "GET", "http://"+address+"/readyz", "")
	assert.Equal(t, http.StatusOK, ready.Status, ready.Body)
	assert.Contains(t, ready.Body, `{"topic":"contact-created","group":"sipeat-contact-consumer","joined":true,"partitions":[0,1,2,3,4,5]`)

	_, err = kadm.NewClient(client(t, f.Brokers)).DeleteTopic(Within(t), "contact-created")
	assert.NoError(t, err)
	Until(t, func() error {
		ready = Call(t, "GET", "http://"+address+"/readyz", "")
		if ready.Status == http.StatusServiceUnavailable && strings.Contains(ready.Body, "the topic was deleted") {
			return nil
		}
		return assert.AnError
	})
	assert.Contains(t, ready.Body, `"unreachable":["consumers"]`)
}

func TestServeShowsItsConsumersInReadyz(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.Ready()
	Until(t, func() error {
		if ready := Call(t, "GET", s.URL+"/readyz", ""); ready.Status != http.StatusOK || strings.Count(ready.Body, `"joined":true`) != 4 {
			return assert.AnError
		}
		return nil
	})
}
