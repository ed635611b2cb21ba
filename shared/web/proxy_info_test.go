package web

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestProxyInfo(t *testing.T) {
	ctx := WithProxyInfo(context.Background(), ProxyInfo{Prefix: "/prod%20x", RequestID: "JKJaXmPLvHcESHA="})
	h := post(accept(nil))

	w := callWith(ctx, h, "POST", "/requests", "{}", asJSON)
	assert.Equal(t, 202, w.Code)
	assert.Equal(t, "/prod%20x/requests/id%2F1", w.Header().Get("Location"))
	assert.Equal(t, "JKJaXmPLvHcESHA=", w.Header().Get("X-Request-Id"))

	w = callWith(ctx, h, "GET", "/nothing%2F", "", "X-Request-Id: mine")
	assert.Equal(t, "/prod%20x/nothing%2F", problemOf(t, w).Instance)
	assert.Equal(t, "mine", w.Header().Get("X-Request-Id"))

	w = callWith(ctx, h, "POST", "/./requests?a=b", "{}", asJSON, "X-Request-Id: not mine")
	assert.Equal(t, 307, w.Code)
	assert.Equal(t, "/prod%20x/requests?a=b", w.Header().Get("Location"))
	assert.Equal(t, "JKJaXmPLvHcESHA=", w.Header().Get("X-Request-Id"))

	w = callWith(WithProxyInfo(ctx, ProxyInfo{RequestID: "a\nb"}), h, "GET", "/nothing", "")
	assert.Len(t, w.Header().Get("X-Request-Id"), 26, "one that no log line can hold is replaced")
	assert.Equal(t, "/nothing", problemOf(t, w).Instance)
}

// A request that has a deadline is answered before it: 404 while there is nothing, 503 only if the store hangs from the start.
func TestWaitKeepsTheDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		deadline time.Duration
		prefer   string
		first    time.Duration // how long the first ask takes
		hangs    bool          // later asks
		applied  string
		status   int
		took     time.Duration
	}{
		"room enough":      {29 * time.Second, "wait=20", 0, false, "wait=20", 404, 20 * time.Second},
		"shorter":          {10 * time.Second, "wait=20", 0, false, "wait=20", 404, 7750 * time.Millisecond},
		"shorter, hanging": {10 * time.Second, "wait=20", 0, true, "wait=20", 404, 9750 * time.Millisecond},
		"a slow ask":       {10 * time.Second, "wait=20", 3 * time.Second, true, "wait=20", 404, 9750 * time.Millisecond},
		"wanted less":      {10 * time.Second, "wait=2", 0, false, "wait=2", 404, 2 * time.Second},
		"no room":          {2 * time.Second, "wait=20", 0, false, "wait=20", 404, 0},
		"over at once":     {time.Second, "wait=20", time.Minute, false, "wait=20", 503, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			defer cancel()
			asks := 0
			one := routed(Function{Name: "get", Route: "GET /things/{id}", Handler: HandleQuery(func(ctx context.Context,
				_ byID) (string, error) {
				pause := c.first
				if asks++; asks > 1 {
					pause = 0
					if c.hangs {
						pause = time.Hour
					}
				}
				select {
				case <-time.After(pause):
					return "", events.Errorf(events.NotFound, "there is no such thing")
				case <-ctx.Done():
					return "", ctx.Err()
				}
			})})
			start := time.Now()
			w := callWith(ctx, one, "GET", "/things/1", "", "Prefer: "+c.prefer)
			assert.Equal(t, c.status, w.Code, name)
			assert.Equal(t, c.applied, w.Header().Get("Preference-Applied"), name)
			assert.InDelta(t, c.took, time.Since(start), float64(20*time.Millisecond), name)
		})
	}
}
