package kafka

import (
	"context"
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
