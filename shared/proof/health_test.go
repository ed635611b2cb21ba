package proof

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
	w := f.worker("HEALTH=127.0.0.1:0")
	w.says(w.stderr, "/readyz")
	_, rest, _ := strings.Cut(w.stderr.String(), "url=http://")
	address, _, _ := strings.Cut(rest, "/readyz")
	assert.JSONEq(t, `{"status":"alive"}`, call(t, "GET", "http://"+address+"/healthz", "").body)
	ready := call(t, "GET", "http://"+address+"/readyz", "")
	assert.Equal(t, http.StatusOK, ready.status, ready.body)
	assert.Contains(t, ready.body, `{"topic":"contact-created","group":"sipeat-contact-consumer","joined":true,"partitions":[0,1,2,3,4,5]`)

	_, err = kadm.NewClient(client(t, f.brokers)).DeleteTopic(within(t), "contact-created")
	assert.NoError(t, err)
	until(t, func() error {
		ready = call(t, "GET", "http://"+address+"/readyz", "")
		if ready.status == http.StatusServiceUnavailable && strings.Contains(ready.body, "the topic was deleted") {
			return nil
		}
		return assert.AnError
	})
	assert.Contains(t, ready.body, `"unreachable":["consumers"]`)
}

func TestServeShowsItsConsumersInReadyz(t *testing.T) {
	t.Parallel()
	s := launch(t, t.TempDir())
	s.ready()
	until(t, func() error {
		if ready := call(t, "GET", s.url+"/readyz", ""); ready.status != http.StatusOK || strings.Count(ready.body, `"joined":true`) != 4 {
			return assert.AnError
		}
		return nil
	})
}
