package web

import (
	"context"
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
		"respond-async, wait=10": 10, "respond-async;x=1, wait=10;y=2": 10, "wait=3, wait=9": 3,
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

// A GET that waits is answered once the resource is readable, at the end of the wait, or with what ends it before.
func TestWait(t *testing.T) {
	never := 100 * time.Hour
	draining := func(ctx context.Context) (context.Context, context.CancelFunc) {
		down, stop := context.WithCancel(ctx)
		return context.WithValue(ctx, drainingKey{}, down.Done()), stop
	}
	within := func(deadline time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, deadline)
		}
	}
	for name, c := range map[string]struct {
		prefer   string
		readable time.Duration // after the start
		outage   bool          // from the second read on
		ctx      func(context.Context) (context.Context, context.CancelFunc)
		ends     time.Duration // when ctx is cancelled; 0 = not

		status, reads int // reads: 0 = any number
		took          time.Duration
		applied       string
	}{
		"no preference":    {readable: time.Second, status: 404, reads: 1},
		"readable at once": {prefer: "wait=5", status: 200, reads: 1, applied: "wait=5"},
		"readable soon": {prefer: "wait=5", readable: 3 * time.Millisecond, status: 200, reads: 4,
			took: 3 * time.Millisecond, applied: "wait=5"},
		"readable later": {prefer: "wait=5", readable: 100 * time.Millisecond, status: 200,
			took: 112 * time.Millisecond, applied: "wait=5"},
		"readable at the very end": {prefer: "wait=5", readable: 5 * time.Second, status: 200,
			took: 5 * time.Second, applied: "wait=5"},
		"longest wait": {prefer: "respond-async, wait=3600", readable: never, status: 404, reads: 105,
			took: 20 * time.Second, applied: "wait=20"},
		"outage":  {prefer: "wait=5", readable: never, outage: true, status: 503, reads: 2, applied: "wait=5"},
		"no wait": {prefer: "wait=0", readable: time.Second, status: 404, reads: 1, applied: "wait=0"},
		"client goes": {prefer: "wait=10", readable: never, ctx: context.WithCancel, ends: 3 * time.Second, status: clientGone.Status,
			took: 3 * time.Second, applied: "wait=10"},
		"server shuts down": {prefer: "wait=10", readable: never, ctx: draining, ends: 3 * time.Second, status: 404,
			took: 3 * time.Second, applied: "wait=10"},

		// A request that has a deadline is answered before it.
		"deadline after the wait": {prefer: "wait=20", readable: never, ctx: within(29 * time.Second), status: 404,
			took: 20 * time.Second, applied: "wait=20"},
		"deadline within the wait": {prefer: "wait=20", readable: never, ctx: within(10 * time.Second), status: 404,
			took: 8 * time.Second, applied: "wait=20"},
		"deadline leaves no time": {prefer: "wait=20", readable: never, ctx: within(2 * time.Second), status: 404, applied: "wait=20"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, end := t.Context(), func() {}
			if c.ctx != nil {
				ctx, end = c.ctx(ctx)
				defer end()
			}
			if c.ends > 0 {
				time.AfterFunc(c.ends, end)
			}
			start, reads := time.Now(), 0
			read := func(_ context.Context, q byID) (string, error) {
				reads++
				switch {
				case time.Since(start) >= c.readable:
					return q.ID, nil
				case c.outage && reads > 1:
					return "", events.Errorf(events.Unavailable, "the table is away")
				}
				return "", events.Errorf(events.NotFound, "there is no such thing")
			}
			var headers []string
			if c.prefer != "" {
				headers = []string{"Prefer: " + c.prefer}
			}
			h := routed(Function{Name: "get", Route: "GET /things/{id}", Handler: HandleQuery(read)})
			w := callWith(ctx, h, "GET", "/things/1", "", headers...)
			assert.Equal(t, c.status, w.Code, name)
			if c.reads > 0 {
				assert.InDelta(t, c.reads, reads, float64(c.reads)/16, name)
			}
			assert.InDelta(t, c.took, time.Since(start), float64(20*time.Millisecond), name)
			assert.Equal(t, c.applied, w.Header().Get("Preference-Applied"), name)
			assert.Equal(t, "Prefer", w.Header().Get("Vary"), name)
		})
	}
}

func TestWaitFitsTheServer(t *testing.T) {
	assert.Greater(t, readTimeout, maxWait+lastCall, "see readTimeout")
	assert.Greater(t, writeTimeout, readTimeout+10*time.Second)
}
