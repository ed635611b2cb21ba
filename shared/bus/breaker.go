package bus

import (
	"sync"
	"time"
)

// breaker distinguishes an event at fault from an outage of unknown kind: it counts the different events that failed since the
// last success.
type breaker struct {
	limit int

	mu          sync.Mutex
	failing     map[Position]struct{} // at most limit of them
	stalled     bool
	lastSuccess time.Time
}

// failed counts a failure for an unknown reason and reports whether it looks like an outage.
func (b *breaker) failed(at Position) (outage bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing == nil {
		b.failing = map[Position]struct{}{}
	}
	if len(b.failing) < b.limit {
		b.failing[at] = struct{}{}
	}
	return len(b.failing) >= b.limit
}

// stall reports whether the stall begins with this call.
func (b *breaker) stall() (begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	begins, b.stalled = !b.stalled, true
	return begins
}

// succeeded resets the failures and reports whether that ended a stall.
func (b *breaker) succeeded() (ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended, b.stalled = b.stalled, false
	clear(b.failing)
	b.lastSuccess = time.Now()
	return ended
}

// provenFor is how long a success counts as proof that there is no outage.
const provenFor = blockingFor / 2

// outage reports whether no event has succeeded lately.
func (b *breaker) outage() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.lastSuccess) > provenFor
}

func (b *breaker) isStalled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stalled
}
