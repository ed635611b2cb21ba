package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
)

const (
	gatherTime  = 20 * time.Millisecond
	gatherCount = 16 // more save little, and would wait for handlers that a backlog keeps busy
)

// Gather is a publisher for derived events, for which no caller waits: it passes those of 20 ms, or 16, on together. They then
// share requests to the brokers, and later fetches, transactions and syncs, which delays what callers do wait for less.
func Gather(next bus.Publisher) bus.Publisher { return &gathering{next: next} }

type gathering struct {
	next    bus.Publisher
	mu      sync.Mutex
	due     chan struct{} // closed when those that wait are passed on
	waiting int
}

// Publish implements [bus.Publisher].
func (g *gathering) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	select {
	case <-g.join():
	case <-ctx.Done(): // next reports it
	}
	return g.next.Publish(ctx, e)
}

func (g *gathering) join() (due chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == 0 {
		due = make(chan struct{})
		g.due = due
		time.AfterFunc(gatherTime, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.due == due {
				g.pass()
			}
		})
	}
	due = g.due
	if g.waiting++; g.waiting == gatherCount {
		g.pass()
	}
	return due
}

func (g *gathering) pass() {
	close(g.due)
	g.due, g.waiting = nil, 0
}
