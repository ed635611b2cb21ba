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
	Probe func(context.Context) error // nil = it is reachable. It has 2 s; what it says is for the log.
}

const probeTimeout = 2 * time.Second

// Health is GET /healthz, which answers 200 while the process runs, and GET /readyz, which asks all checks at the same time
// and answers 200, or 503 with the names of those that failed. However many ask, and however long a probe
// hangs, each check has at most one probe running: those who ask meanwhile get its outcome.
func Health(checks ...Check) []Function {
	ready := &readiness{}
	for _, c := range checks {
		ready.probes = append(ready.probes, &probe{check: c})
	}
	return []Function{
		{Name: "healthz", Route: "GET /healthz", Handler: http.HandlerFunc(alive), Watch: true},
		{Name: "readyz", Route: "GET /readyz", Handler: ready, Watch: true},
	}
}

type health struct {
	Status string `json:"status"`
}

func alive(w http.ResponseWriter, r *http.Request) { well(w, r, "alive") }

func well(w http.ResponseWriter, r *http.Request, status string) {
	writeJSON(w, r, http.StatusOK, health{status})
}

type readiness struct{ probes []*probe }

func (rd *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	runs := make([]*run, len(rd.probes))
	for i, p := range rd.probes {
		runs[i] = p.start()
	}
	var names []string
	var errs []error
	for i, run := range runs {
		if err := run.wait(ctx); err != nil {
			name := rd.probes[i].check.Name
			names = append(names, name)
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(names) == 0 {
		well(w, r, "ready")
		return
	}
	if err := r.Context().Err(); err != nil { // says nothing about the checks
		fail(w, r, err, queries)
		return
	}
	if x := exchangeOf(r.Context()); x != nil {
		x.err = errors.Join(errs...)
	}
	w.Header().Set("Retry-After", "5")
	Problem{Type: typeUnavailable, Status: http.StatusServiceUnavailable,
		Detail: "Not reachable: " + strings.Join(names, ", ") + ".", Unreachable: names}.Write(w, r)
}

// probe is a check that runs at most once at a time.
type probe struct {
	check   Check
	mu      sync.Mutex
	running *run // nil = none
}

type run struct {
	done chan struct{}
	err  error // once done is closed
}

// errExited stands until a probe returns, which it does not if it ends its goroutine.
var errExited = errors.New("the probe ended its goroutine (runtime.Goexit)")

func (p *probe) start() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.running
	}
	this := &run{done: make(chan struct{}), err: errExited}
	p.running = this
	// Not under the request's context: one who stops asking must not spoil the outcome for the others.
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	go func() {
		defer cancel()
		defer func() {
			if fault := recover(); fault != nil {
				this.err = events.Recovered(fault)
			}
			p.mu.Lock()
			p.running = nil
			p.mu.Unlock()
			close(this.done)
		}()
		this.err = p.check.Probe(ctx)
	}()
	return this
}

func (run *run) wait(ctx context.Context) error {
	select {
	case <-run.done:
		return run.err
	case <-ctx.Done():
	}
	select { // both may be true, and an outcome counts
	case <-run.done:
		return run.err
	default:
		return ctx.Err()
	}
}
