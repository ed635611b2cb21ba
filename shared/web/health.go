package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Check is a part without which requests cannot be served.
type Check struct {
	Name  string                      // shown to callers, such as "kafka"
	Probe func(context.Context) error // nil = reachable. It has 2 s and heeds its context; the text of its error is for the log.
	Facts func(outcome error) any     // shown to callers as JSON whatever the outcome; nil = none. It must not wait
}

const (
	probeTimeout = 2 * time.Second
	probeFor     = time.Second // how long an outcome answers further requests
)

// Health is GET /healthz, which answers 200 while the process runs, and GET /readyz, which runs all checks at the same time
// and answers 200, or 503 with the names of those that failed. The outcome is used again for a second, and requests wait for
// the checks that are running, so requests without limit cost the parts behind the checks one probe a second.
func Health(checks ...Check) []Function {
	state := &readiness{checks: checks}
	return []Function{
		{Name: "healthz", Route: "GET /healthz", Summary: "Report that the process runs.", Watch: true,
			Handler: Endpoint{Out: reflect.TypeFor[health](), Handler: http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					writeJSON(w, r, http.StatusOK, "application/json", health{Status: "alive"})
				})}},
		{Name: "readyz", Route: "GET /readyz", Summary: "Report whether requests can be served.", Watch: true,
			Handler: Endpoint{Handler: state, Out: reflect.TypeFor[health]()}},
	}
}

type health struct {
	Status string         `json:"status"`
	Facts  map[string]any `json:"facts,omitempty"` // by the names of checks
}

type readiness struct {
	checks []Check
	mu     sync.Mutex
	errs   []error   // the latest outcomes
	until  time.Time // how long they are used
}

// outcomes runs the checks without the request's context: a client that disconnects must not affect the outcome for others.
func (s *readiness) outcomes() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return s.errs
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	s.errs = make([]error, len(s.checks))
	var all sync.WaitGroup
	for i, c := range s.checks {
		all.Go(func() { s.errs[i] = c.Probe(ctx) })
	}
	all.Wait()
	s.until = time.Now().Add(probeFor)
	return s.errs
}

func (s *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	failed, facts := unavailable, map[string]any{}
	var causes []error
	for i, err := range s.outcomes() {
		c := s.checks[i]
		if err != nil {
			failed.Unreachable = append(failed.Unreachable, c.Name)
			causes = append(causes, fmt.Errorf("%s: %w", c.Name, err))
		}
		if c.Facts != nil {
			if fact := c.Facts(err); fact != nil {
				facts[c.Name] = fact
			}
		}
	}
	if causes == nil {
		writeJSON(w, r, http.StatusOK, "application/json", health{"ready", facts})
		return
	}
	exchangeOf(r.Context()).cause = errors.Join(causes...).Error()
	failed.Facts, failed.Detail = facts, "Not reachable: "+strings.Join(failed.Unreachable, ", ")+"."
	failed.Write(w, r)
}
