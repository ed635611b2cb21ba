package bus

import (
	"sync"
	"sync/atomic"
	"time"
)

// memory keeps how often an event has failed while it is given back and not in hand, so that an event that fails slowly
// uses up its attempts over several invocations. It is bounded: what is forgotten only begins to count anew.
type memory struct {
	some   atomic.Bool // spares the lock while all is well
	mu     sync.Mutex
	failed map[Position]counts
}

type counts struct {
	tries, failures int
	since           time.Time
}

const remembered = 1024 // events

func (m *memory) keep(d *delivery) {
	if d.trouble == nil || d.failures == 0 && d.since.IsZero() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		m.failed = map[Position]counts{}
	}
	for stale := range m.failed { // which others have handled, perhaps
		if len(m.failed) < remembered {
			break
		}
		delete(m.failed, stale)
	}
	m.failed[d.position()] = counts{d.tries, d.failures, d.since}
	m.some.Store(true)
}

func (m *memory) restore(d *delivery) {
	if !m.some.Load() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, known := m.failed[d.position()]; known {
		d.tries, d.troubled().failures, d.since = c.tries, c.failures, c.since
		delete(m.failed, d.position())
		m.some.Store(len(m.failed) > 0)
	}
}

func (d *delivery) position() Position {
	return Position{d.record.Topic, d.record.Partition, d.record.Offset}
}
