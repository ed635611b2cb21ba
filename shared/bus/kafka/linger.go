package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
)

const (
	lingerTime  = 20 * time.Millisecond
	lingerCount = 16 // more save little, and would wait for handlers that a backlog keeps busy
)

// Linger returns a publisher for derived events, which no caller waits for. It holds each for up to 20 ms, or until 16 wait, and
// then passes them on together. They share requests to the brokers, and later fetches, transactions and syncs, which leaves more
// of the machine to what callers do wait for.
func Linger(next bus.Publisher) bus.Publisher { return &lingering{next: next} }

type lingering struct {
	next    bus.Publisher
	mu      sync.Mutex
	due     chan struct{} // closed when those that wait are passed on
	waiting int
}

// Publish implements [bus.Publisher].
func (l *lingering) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	select {
	case <-l.join():
	case <-ctx.Done(): // next reports it
	}
	return l.next.Publish(ctx, e)
}

func (l *lingering) join() (due chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == 0 {
		due = make(chan struct{})
		l.due = due
		time.AfterFunc(lingerTime, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.due == due {
				l.pass()
			}
		})
	}
	due = l.due
	if l.waiting++; l.waiting == lingerCount {
		l.pass()
	}
	return due
}

func (l *lingering) pass() {
	close(l.due)
	l.due, l.waiting = nil, 0
}
