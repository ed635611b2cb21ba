package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
)

// gate holds records back while others are in flight, so that those that wait share a request. Without it the client sends up to
// five small requests at once, each of which costs both sides as much as a large one.
type gate struct {
	maxWait time.Duration
	most    int // that wait; 0 = no limit

	mu       sync.Mutex
	inFlight int
	waiting  []func()
	timer    *time.Timer
}

// enter calls send at once if no record is in flight, and together with those of others if there is: when none is in flight any
// more, when most wait, or after maxWait. It must not wait.
func (g *gate) enter(send func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, send)
	if g.inFlight == 0 || len(g.waiting) == g.most {
		g.pass()
	} else if len(g.waiting) == 1 {
		g.timer = time.AfterFunc(g.maxWait, g.open)
	}
}

// leave reports that a record is in flight no more.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight--; g.inFlight == 0 {
		g.pass()
	}
}

// open lets all records pass that wait now.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass()
}

func (g *gate) pass() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.inFlight += len(g.waiting)
	for _, send := range g.waiting {
		send()
	}
	g.waiting = nil
}

const (
	lingerTime  = 20 * time.Millisecond
	lingerCount = 16 // more save little, and would wait for handlers that a backlog keeps busy
)

// Linger returns a publisher for derived events, which no caller waits for. It holds each for up to 20 ms, or until 16 wait, and
// then passes them on together. They share requests to the brokers, and later fetches, transactions and syncs, which leaves more
// of the machine to what callers do wait for.
func Linger(next bus.Publisher) bus.Publisher {
	return &lingering{next, gate{maxWait: lingerTime, most: lingerCount, inFlight: 1}} // always, so that each waits
}

type lingering struct {
	next bus.Publisher
	gate gate
}

// Publish implements [bus.Publisher].
func (l *lingering) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	due := make(chan struct{})
	l.gate.enter(func() { close(due) })
	select {
	case <-due:
	case <-ctx.Done(): // next reports it
	}
	return l.next.Publish(ctx, e)
}
