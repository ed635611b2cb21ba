package bus

import (
	"sync"
	"sync/atomic"
)

// breaker tells an event that is at fault from an outage that nobody named: it counts the different events that failed
// for an unknown reason since the last one succeeded.
type breaker struct {
	limit int

	trouble atomic.Bool // some event has failed: spares the lock while all is well
	mu      sync.Mutex
	failing map[Position]struct{} // at most limit of them
	stalled bool
}

// failed books a failure and reports whether it looks like an outage.
func (b *breaker) failed(d *delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble.Store(true)
	if b.failing == nil {
		b.failing = map[Position]struct{}{}
	}
	if len(b.failing) < b.limit {
		b.failing[d.position()] = struct{}{}
	}
	return len(b.failing) >= b.limit
}

// stall reports whether the stall began just now.
func (b *breaker) stall() (began bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	began, b.stalled = !b.stalled, true
	return began
}

// succeeded ends the row of failures and reports whether that ended a stall.
func (b *breaker) succeeded() (ended bool) {
	if !b.trouble.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ended = b.stalled
	b.stalled = false
	clear(b.failing)
	b.trouble.Store(false)
	return ended
}
