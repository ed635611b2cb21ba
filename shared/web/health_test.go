package web

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHealth(t *testing.T) { synctest.Test(t, testHealth) }

func testHealth(t *testing.T) {
	logger, log := logged()
	hunter2 := errors.New("dial tcp: hunter2")
	var kafka, store error
	h := Router(Health(
		Check{Name: "kafka", Probe: func(context.Context) error { return kafka }},
		Check{Name: "store", Probe: func(context.Context) error { return store }},
	), Options{Logger: logger})

	w := call(h, "GET", "/healthz", "")
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, `{"status":"alive"}`, w.Body.String())
	w = call(h, "GET", "/readyz", "")
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, `{"status":"ready"}`, w.Body.String())
	assert.Contains(t, log.String(), `"level":"DEBUG"`)
	assert.NotContains(t, log.String(), `"level":"INFO"`)

	kafka, store = hunter2, hunter2
	assert.Equal(t, 200, call(h, "GET", "/readyz", "").Code, "the outcome counts for a second")
	time.Sleep(probeFor)
	w = call(h, "GET", "/readyz", "")
	assert.Equal(t, 503, w.Code)
	p := problemOf(t, w)
	assert.Equal(t, "Not reachable: kafka, store.", p.Detail)
	assert.Equal(t, []string{"kafka", "store"}, p.Unreachable)
	assert.NotContains(t, w.Body.String(), "hunter2")
	assert.Equal(t, "5", w.Header().Get("Retry-After"))
	assert.Contains(t, log.String(), "kafka: dial tcp: hunter2")
	assert.Contains(t, log.String(), `"level":"WARN"`)
	assert.Equal(t, 200, call(h, "GET", "/healthz", "").Code)
	assert.Equal(t, 405, call(h, "POST", "/readyz", "").Code)
	assert.Equal(t, 200, call(Router(Health(), Options{Logger: quiet()}), "GET", "/readyz", "").Code)
}

func TestReadinessShowsFactsOfChecks(t *testing.T) {
	for status, err := range map[int]error{200: nil, 503: errors.New("?")} {
		h := Router(Health(Check{Name: "consumers", Probe: func(context.Context) error { return err },
			Facts: func(error) any { return []int{1, 2} }}), Options{Logger: quiet()})
		w := call(h, "GET", "/readyz", "")
		assert.Equal(t, status, w.Code)
		assert.Contains(t, w.Body.String(), `"facts":{"consumers":[1,2]}`)
	}
}

// /readyz is not throttled, so its cost must not grow with the requests.
func TestReadinessCostsOneProbeASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int32
		h := Router(Health(Check{Name: "kafka", Probe: func(context.Context) error { probes.Add(1); return errors.New("down") }}),
			Options{Logger: quiet()})
		for range 100 { // 10 s
			for range 20 {
				assert.Equal(t, 503, call(h, "GET", "/readyz", "").Code)
			}
			time.Sleep(100 * time.Millisecond)
		}
		assert.EqualValues(t, 10, probes.Load())
	})
}
