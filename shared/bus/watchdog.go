package bus

import (
	"context"
	"fmt"
	"time"
)

// graceTicks divides [Options.Grace] into ticks. The watchdog counts ticks instead of time: a ticker drops those that fall
// into a time in which the process was suspended (a stopped process, a laptop asleep, a paused VM), so a handler that had
// no chance to notice its deadline keeps its grace period.
const graceTicks = 10

// watch calls Overrun when a handler continues for the grace period after its deadline, or after Close cancelled it.
func (p *Partition) watch(ctx context.Context) {
	ticker := time.NewTicker(max(p.engine.options.Grace/graceTicks, 1))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := p.tick(time.Since(p.opened)); err != nil {
			p.engine.options.Overrun(err)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.overrun = err
			p.changed.Broadcast()
			return
		}
	}
}

// tick counts one tick against each handler that is late, and returns an error for one that has used up its grace period.
func (p *Partition) tick(now time.Duration) error {
	grace := p.engine.options.Grace
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil && !p.idle() {
		if p.overtime++; p.overtime >= graceTicks {
			return fmt.Errorf("%s/%d: a handler is still running %s after it was cancelled", p.engine.consumer.Topic, p.number, grace)
		}
	}
	for _, w := range p.workers {
		deadline := w.deadline.Load()
		if deadline == 0 || int64(now) <= deadline {
			continue
		}
		if deadline != w.late {
			w.late, w.overtime = deadline, 0
		}
		if w.overtime++; w.overtime >= graceTicks {
			return fmt.Errorf("%s/%d: the handler of event %s ignores its deadline: it is still running %s after it",
				p.engine.consumer.Topic, p.number, w.current.eventID, grace)
		}
	}
	return nil
}
