package bus

import (
	"context"
	"sync"
	"time"
)

// handlerContext is what context.WithDeadline makes, but it costs a timer only if somebody asks for its end: most
// handlers are over long before, and there are hundreds of thousands of them a second.
type handlerContext struct {
	context.Context
	deadline time.Time

	mu     sync.Mutex
	timed  context.Context // the real one, from the first time that it matters
	cancel context.CancelFunc
	ended  bool // the handler has returned
	late   bool // and it had not before the deadline
}

// end cancels what was made of the context, as contexts are when the call that they were made for is over.
func (c *handlerContext) end(late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended, c.late = true, late
	if c.cancel != nil {
		c.cancel()
	}
}

func (c *handlerContext) real() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
	case c.ended && !c.late: // cancelled before its deadline, whatever the time is now
		c.timed, c.cancel = context.WithCancel(c.Context)
		c.cancel()
	default:
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed
}

// made is the real context if there is one, and whether the context is over.
func (c *handlerContext) made() (timed context.Context, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timed, c.ended
}

func (c *handlerContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *handlerContext) Done() <-chan struct{} { return c.real().Done() }

func (c *handlerContext) Err() error {
	timed, over := c.made()
	if timed == nil {
		if !over && c.Context.Err() == nil && time.Now().Before(c.deadline) {
			return nil
		}
		timed = c.real() // from here on the reason must stay the same
	}
	return timed.Err()
}

// Value needs the real context only once there is one: package context looks through it for a parent to join.
func (c *handlerContext) Value(key any) any {
	if timed, _ := c.made(); timed != nil {
		return timed.Value(key)
	}
	return c.Context.Value(key)
}

func (c *handlerContext) String() string { return "bus handler's context until " + c.deadline.String() }
