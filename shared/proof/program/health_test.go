package program

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestWorkerServesItsHealth(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded(t, t.TempDir()).Address())
	w := f.Worker("HEALTH=127.0.0.1:0")
	w.Says(w.Stderr, "/readyz")
	_, rest, _ := strings.Cut(w.Stderr.String(), "url=http://")
	address, _, _ := strings.Cut(rest, "/readyz")
	assert.JSONEq(t, `{"status":"alive"}`, Call(t, "GET", "http://"+address+"/healthz", "").Body)
	ready := Call(t, "GET", "http://"+address+"/readyz", "")
	assert.Equal(t, http.StatusOK, ready.Status, ready.Body)
	assert.Contains(t, ready.Body,
		`{"topic":"contact-created","group":"sipeat-contact-consumer","joined":true,"partitions":[0,1,2,3,4,5]`)

	_, err := kadm.NewClient(client(t, f.Brokers)).DeleteTopic(Within(t), "contact-created")
	require.NoError(t, err)
	Until(t, func() error {
		ready = Call(t, "GET", "http://"+address+"/readyz", "")
		if ready.Status != http.StatusServiceUnavailable || !strings.Contains(ready.Body, "the topic was deleted") {
			return fmt.Errorf("%d %s", ready.Status, ready.Body)
		}
		return nil
	})
	assert.Contains(t, ready.Body, `"unreachable":["consumers"]`)
}
