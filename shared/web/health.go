package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"golang.org/x/sync/singleflight"
)

// Check is a part without which requests cannot be served.
type Check struct {
	Name  string                      // shown to callers, such as "kafka"
	Probe func(context.Context) error // nil = reachable. It has 2 s; the text of its error is for the log.
	Facts func() any                  // shown to callers as JSON whatever the outcome; nil = none. It must not wait
}

const (
	probeTimeout = 2 * time.Second
	probeFor     = time.Second // how long an outcome answers further requests
)

// Health is GET /healthz, which answers 200 while the process runs, and GET /readyz, which runs all checks at the same time
// and answers 200, or 503 with the names of those that failed. Each check has at most one probe running, and its outcome is
// used again for a second, so requests without limit cost the parts behind the checks one probe a second.
func Health(checks ...Check) []Function {
	probes := make([]*probe, len(checks))
	for i, c := range checks {
		probes[i] = &probe{Check: c}
	}
	return []Function{
		{Name: "healthz", Route: "GET /healthz", Watch: true, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, http.StatusOK, health{Status: "alive"}) })},
		{Name: "readyz", Route: "GET /readyz", Watch: true, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { ready(w, r, probes) })},
	}
}

type health struct {
	Status string         `json:"status"`
	Facts  map[string]any `json:"facts,omitempty"` // by the names of checks
}

func ready(w http.ResponseWriter, r *http.Request, probes []*probe) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	outcomes := make([]error, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() { outcomes[i] = p.outcome(ctx) })
	}
	all.Wait()
	failed := kinds[events.Unavailable]
	failed.Facts = map[string]any{}
	var causes []error
	for i, p := range probes {
		if outcomes[i] != nil {
			failed.Unreachable = append(failed.Unreachable, p.Name)
			causes = append(causes, fmt.Errorf("%s: %w", p.Name, outcomes[i]))
		}
		if p.Facts != nil {
			if fact := p.Facts(); fact != nil {
				failed.Facts[p.Name] = fact
			}
		}
	}
	if causes == nil {
		writeJSON(w, r, http.StatusOK, health{"ready", failed.Facts})
		return
	}
	if err := r.Context().Err(); err != nil { // the client went away, which says nothing about the checks
		fail(w, r, err, invalidParameters)
		return
	}
	if x := exchangeOf(r.Context()); x != nil {
		x.err = errors.Join(causes...)
	}
	failed.Detail = "Not reachable: " + strings.Join(failed.Unreachable, ", ") + "."
	failed.Write(w, r)
}

// probe runs a check, at most once at a time and once a second.
type probe struct {
	Check
	run    singleflight.Group
	latest atomic.Pointer[probed] // nil = none yet
}

type probed struct {
	err   error
	until time.Time
}

func (p *probe) outcome(ctx context.Context) error {
	if l := p.latest.Load(); l != nil && time.Now().Before(l.until) {
		return l.err
	}
	select {
	case result := <-p.run.DoChan("", p.probe):
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// probe runs without the request's context: a client that disconnects must not affect the outcome for others.
func (p *probe) probe() (_ any, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			err = events.Recovered(value)
		}
		p.latest.Store(&probed{err, time.Now().Add(probeFor)})
	}()
	return nil, p.Probe(ctx)
}
