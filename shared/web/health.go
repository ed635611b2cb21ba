package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Check is a part without which requests cannot be served.
type Check struct {
	Name  string                      // shown to callers, such as "kafka"
	Probe func(context.Context) error // nil = reachable. It has 2 s; the text of its error is for the log.
}

const (
	probeTimeout = 2 * time.Second
	probeFor     = time.Second // how long an outcome answers further requests
)

// Health is GET /healthz, which answers 200 while the process runs, and GET /readyz, which runs all checks at the same time
// and answers 200, or 503 with the names of those that failed. Each check has at most one probe running, and its outcome is
// used again for a second, so requests without limit cost the parts behind the checks one probe a second.
func Health(checks ...Check) []Function {
	var probes []*probe
	for _, c := range checks {
		probes = append(probes, &probe{check: c})
	}
	return []Function{
		{Name: "healthz", Route: "GET /healthz", Watch: true, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, http.StatusOK, health{"alive"}) })},
		{Name: "readyz", Route: "GET /readyz", Watch: true, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { ready(w, r, probes) })},
	}
}

type health struct {
	Status string `json:"status"`
}

func ready(w http.ResponseWriter, r *http.Request, probes []*probe) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	runs := make([]*probeRun, len(probes))
	for i, p := range probes {
		runs[i] = p.start()
	}
	var names []string
	var errs []error
	for i, run := range runs {
		if err := run.wait(ctx); err != nil {
			names = append(names, probes[i].check.Name)
			errs = append(errs, fmt.Errorf("%s: %w", probes[i].check.Name, err))
		}
	}
	if len(names) == 0 {
		writeJSON(w, r, http.StatusOK, health{"ready"})
		return
	}
	if err := r.Context().Err(); err != nil { // it says nothing about the checks
		fail(w, r, err, invalidParameters)
		return
	}
	if x := exchangeOf(r.Context()); x != nil {
		x.err = errors.Join(errs...)
	}
	p := kinds[events.Unavailable]
	p.Detail, p.Unreachable = "Not reachable: "+strings.Join(names, ", ")+".", names
	p.Write(w, r)
}

// probe runs a check, at most once at a time.
type probe struct {
	check  Check
	mu     sync.Mutex
	latest *probeRun // nil = none yet
}

type probeRun struct {
	done  chan struct{}
	err   error // once done is closed
	until time.Time
}

// start starts a run, unless one is running or its outcome still counts.
func (p *probe) start() *probeRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest != nil && (p.latest.running() || time.Now().Before(p.latest.until)) {
		return p.latest
	}
	run := &probeRun{done: make(chan struct{}), err: errors.New("the probe ended its goroutine (runtime.Goexit)")}
	p.latest = run
	// Not under the request's context: a client that goes away must not spoil the outcome for the others.
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	go func() {
		defer cancel()
		defer func() {
			if value := recover(); value != nil {
				run.err = events.Recovered(value)
			}
			run.until = time.Now().Add(probeFor)
			close(run.done)
		}()
		run.err = p.check.Probe(ctx)
	}()
	return run
}

func (run *probeRun) running() bool {
	select {
	case <-run.done:
		return false
	default:
		return true
	}
}

func (run *probeRun) wait(ctx context.Context) error {
	select {
	case <-run.done:
	case <-ctx.Done():
		if run.running() { // both may be true, and an outcome counts
			return ctx.Err()
		}
	}
	return run.err
}
