package trigger

import (
	"sync"

	"github.com/sipeat/sipeat/shared/bus"
)

// reasons remembers why events in hand are not handled yet.
type reasons struct {
	mu   sync.Mutex
	last map[bus.Position]error
}

func (r *reasons) note(report bus.Report) {
	at := bus.Position{Topic: report.Topic, Partition: report.Partition, Offset: report.Offset}
	if report.Outcome == bus.Done || report.Outcome == bus.Rejected {
		_ = r.forget(at)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[bus.Position]error{}
	}
	r.last[at] = report.Err
}

// forget removes records and returns the first reason among theirs; nil = none was tried.
func (r *reasons) forget(records ...bus.Position) (first error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range records {
		if reason := r.last[at]; first == nil {
			first = reason
		}
		delete(r.last, at)
	}
	return first
}
