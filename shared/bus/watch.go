package bus

import (
	"fmt"
	"time"
)

// watch ends the process's patience with handlers that ignore their deadline.
func (p *Partition) watch() {
	o := &p.engine.options
	v := vigil{every: max((o.HandlerTimeout+o.Grace)/8, time.Millisecond), grace: o.Grace, last: p.clock()}
	ticker := time.NewTicker(v.every)
	defer ticker.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		var late string
		if now := p.clock(); v.judges(now) {
			for _, w := range p.workers {
				if w.handling.Load() && now > w.limit()+o.Grace {
					late = w.current.eventID
				}
			}
		}
		p.mu.Unlock()
		if late != "" {
			o.Overrun(fmt.Errorf("%s/%d: the handler of event %s ignores its deadline: it is still running %s after it",
				p.engine.consumer.Topic, p.number, late, o.Grace))
			return
		}
	}
}

// vigil looks at a clock at intervals. A process that was stopped (a laptop that slept, a frozen container) finds all its
// deadlines passed when it goes on, without a handler having had the time to heed one: it gets the grace anew.
type vigil struct {
	every, grace time.Duration
	last         time.Duration // the last look
	spared       time.Duration // until when nobody is judged
}

// judges tells whether whoever is late now has ignored a deadline.
func (v *vigil) judges(now time.Duration) bool {
	if now-v.last > 2*v.every {
		v.spared = now + v.grace
	}
	v.last = now
	return now >= v.spared
}
