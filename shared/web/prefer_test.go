package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestPreferredWait(t *testing.T) {
	for header, want := range map[string]int{
		"wait=5": 5, "Wait=5": 5, "wait = 5": 5, " wait=05 ": 5, `wait="7"`: 7, "wait=0": 0, "wait=20": 20, "wait=21": 20,
		"wait=99999999999999999999999": 20,
		"respond-async, wait=10":       10, "respond-async;x=1, wait=10;y=2": 10, "wait=3, wait=9": 3,
		"return=minimal|wait=6": 6, ",, wait=2 ,": 2, "wait;x=1": -1, "wait=5;x": 5,
		"": -1, "wait": -1, "wait=": -1, `wait=""`: -1, "wait=-1": -1, "wait=1.5": -1, "wait=5s": -1, "wait=x, wait=5": -1,
		"waiting=5": -1, `"wait=5"`: -1, "wait=٣": -1,
	} {
		got, ok := preferredWait(strings.Split(header, "|"))
		if !ok {
			got = -time.Second
		}
		assert.Equal(t, time.Duration(want)*time.Second, got, header)
	}
}

// waiting runs a GET with Prefer in fake time. The resource exists after a while.
func waiting(t *testing.T, prefer string, after time.Duration, instead error) (status, asks int, took time.Duration,
	h http.Header) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		one := routed(Function{Name: "get", Route: "GET /things/{id}", Handler: HandleQuery(func(_ context.Context, q byID) (string,
			error) {
			asks++
			if time.Since(start) >= after {
				return q.ID, nil
			}
			if asks > 1 && instead != nil {
				return "", instead
			}
			return "", events.Errorf(events.NotFound, "there is no such thing")
		})})
		var headers []string
		if prefer != "" {
			headers = []string{"Prefer: " + prefer}
		}
		w := call(one, "GET", "/things/1", "", headers...)
		status, took, h = w.Code, time.Since(start), w.Header()
	})
	return
}

func TestWait(t *testing.T) {
	status, asks, took, h := waiting(t, "", time.Second, nil)
	assert.Equal(t, []int{404, 1}, []int{status, asks})
	assert.Zero(t, took)
	assert.Empty(t, h.Get("Preference-Applied"))
	assert.Equal(t, "Prefer", h.Get("Vary"))

	status, asks, took, h = waiting(t, "wait=5", 0, nil)
	assert.Equal(t, []int{200, 1}, []int{status, asks})
	assert.Zero(t, took)
	assert.Equal(t, "wait=5", h.Get("Preference-Applied"))

	status, asks, took, _ = waiting(t, "wait=5", 100*time.Millisecond, nil)
	assert.Equal(t, []int{200, 5}, []int{status, asks})
	assert.Equal(t, 150*time.Millisecond, took)

	status, _, took, _ = waiting(t, "wait=5", 5*time.Second, nil)
	assert.Equal(t, 200, status, "the last ask is at the very end")
	assert.Equal(t, 5*time.Second, took)

	status, asks, took, h = waiting(t, "respond-async, wait=3600", time.Hour, nil)
	assert.Equal(t, 404, status)
	assert.Equal(t, 20*time.Second, took)
	assert.InDelta(t, 85, asks, 5)
	assert.Equal(t, "wait=20", h.Get("Preference-Applied"))

	status, asks, _, _ = waiting(t, "wait=5", time.Hour, events.Errorf(events.Unavailable, "the table is away"))
	assert.Equal(t, []int{503, 2}, []int{status, asks})

	status, asks, took, h = waiting(t, "wait=0", time.Second, nil)
	assert.Equal(t, []int{404, 1}, []int{status, asks})
	assert.Zero(t, took)
	assert.Equal(t, "wait=0", h.Get("Preference-Applied"))
}

func TestWaitEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(ctx context.Context) (context.Context, func())
		status int
		took   time.Duration
	}{
		"client goes":       {withCancel(context.WithCancel), clientGone.Status, 3 * time.Second},
		"server shuts down": {drain, 404, 3 * time.Second},
		"store hangs":       {func(ctx context.Context) (context.Context, func()) { return ctx, func() {} }, 404, 12 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, end := c.end(context.Background())
			time.AfterFunc(3*time.Second, end)
			one := routed(Function{Name: "get", Route: "GET /things/{id}", Handler: HandleQuery(func(ctx context.Context,
				_ byID) (string, error) {
				if strings.HasPrefix(name, "store") && time.Since(start) > time.Second {
					<-ctx.Done()
					return "", ctx.Err()
				}
				return "", events.Errorf(events.NotFound, "there is no such thing")
			})})
			w := callWith(ctx, one, "GET", "/things/1", "", "Prefer: wait=10")
			assert.Equal(t, c.status, w.Code, name)
			assert.Equal(t, c.took, time.Since(start), name)
		})
	}
}

func withCancel(f func(context.Context) (context.Context, context.CancelFunc)) func(context.Context) (context.Context, func()) {
	return func(ctx context.Context) (context.Context, func()) {
		ctx, cancel := f(ctx)
		return ctx, cancel
	}
}

func drain(ctx context.Context) (context.Context, func()) {
	down, stop := context.WithCancel(ctx)
	return context.WithValue(ctx, drainingKey{}, down.Done()), stop
}

func TestWaitFitsTheServer(t *testing.T) {
	assert.Greater(t, readTimeout, maxWait+lastCall, strconv.Quote("see readTimeout"))
	assert.Greater(t, writeTimeout, readTimeout+10*time.Second)
}

// A request with a deadline is answered before it: 404 if nothing is there, 503 only if the store hangs from the start.
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
		"shorter, hanging": {10 * time.Second, "wait=20", 0, true, "wait=20", 404, 9750 * time.Millisecond},
		"a slow ask":       {10 * time.Second, "wait=20", 3 * time.Second, true, "wait=20", 404, 9750 * time.Millisecond},
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
