package trigger

import (
	"sync"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/bus"
)

// reasons remembers why events in hand are not handled yet.
type reasons struct {
	some atomic.Bool // spares the lock while all is well
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
	r.some.Store(true)
}

// forget takes out what is known of records, and is the first reason found among them; nil = none was tried.
func (r *reasons) forget(records ...bus.Position) (first error) {
	if !r.some.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range records {
		if reason := r.last[at]; first == nil {
			first = reason
		}
		delete(r.last, at)
	}
	r.some.Store(len(r.last) > 0)
	return first
}
