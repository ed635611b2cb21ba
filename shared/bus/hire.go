package bus

import "time"

// How the number of goroutines follows the work. As long as handlers take their time, whoever takes an event hires one
// more worker for the next, so slow handlers run side by side at once. Handlers that are over in no time are left to one
// goroutine, because waking another costs more than they do; an alarm looks after them, for the next may be slow.
const (
	quickTry   = 20 * time.Microsecond // a try that is over in no time
	quickTries = 64                    // how many of them make a quick handler
	alarmAfter = time.Millisecond      // how long a handler that was quick until now may keep others waiting
)

// hire starts one more worker when there is something to do and nobody is about to do it.
func (p *Partition) hire() {
	if !p.shorthanded() {
		return
	}
	w := &worker{partition: p}
	p.workers = append(p.workers, w)
	go w.work()
}

func (p *Partition) shorthanded() bool {
	busy := p.running
	if p.decoding {
		busy++
	}
	work := p.ready.first != nil || len(p.inbox) > 0 && !p.decoding
	return work && busy == len(p.workers) && busy < p.engine.options.Concurrency
}

// share sees to it that what there is to do is done soon. It is called when there is more, and by a worker that is about
// to run a handler, which may take long.
func (p *Partition) share() {
	switch {
	case p.quick < quickTries || len(p.workers) == 0:
		p.hire()
	case !p.alarmed && p.shorthanded():
		p.alarmed = true
		if p.alarm == nil {
			p.alarm = time.AfterFunc(alarmAfter, p.ring)
		} else {
			p.alarm.Reset(alarmAfter)
		}
	}
}

// pace books how long a try took.
func (p *Partition) pace(took time.Duration) {
	if took < quickTry {
		p.quick = min(p.quick+1, 2*quickTries)
	} else {
		p.quick /= 2 // not 0: the scheduler makes some late
	}
}

// ring hires for a handler that turned out to be slow.
func (p *Partition) ring() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alarmed = false
	if p.closed {
		return
	}
	for _, w := range p.workers {
		if w.current != nil && p.clock()-w.began >= alarmAfter/2 {
			p.quick = 0
			p.hire()
			return
		}
	}
	p.share()
}
