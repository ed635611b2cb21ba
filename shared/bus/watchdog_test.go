package bus

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stuckHandler opens a partition whose handler runs until release is called. Its watchdog ticks only when the test does.
func stuckHandler(t *testing.T, overran *error) (p *Partition, release func()) {
	hang, release := context.WithCancel(t.Context())
	c := NewConsumer("g", func(context.Context, events.Event[events.ContactCreated]) error { <-hang.Done(); return nil })
	p = NewEngine(c, nil, Options{Grace: 1000 * time.Hour, Overrun: func(err error) { *overran = err }}).Open(0, nil)
	p.Deliver([]Record{{Value: []byte(`{"eventId":"e1","eventType":"contact-created","data":{"id":"a"}}`)}})
	synctest.Wait()
	return p, release
}

// After a suspension the clock is far past the deadline, and the ticker has one tick.
func TestSuspendedProcessIsNoOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, release := stuckHandler(t, new(error))
		for suspension := range graceTicks - 1 {
			require.NoError(t, p.tick(time.Duration(suspension+1)*time.Hour))
		}
		assert.ErrorContains(t, p.tick(24*time.Hour), "event e1 ignores its deadline")
		release()
		require.NoError(t, p.Close(t.Context()))
	})
}

func TestCloseOfASuspendedProcessIsNoOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, release := stuckHandler(t, new(error))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- p.Close(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		for range graceTicks - 1 {
			require.NoError(t, p.tick(0))
		}
		assert.ErrorContains(t, p.tick(0), "after it was cancelled")
		release()
		assert.ErrorIs(t, <-closed, context.DeadlineExceeded)
	})
}

// A handler that starts anew has its own grace period.
func TestGraceIsPerTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, release := stuckHandler(t, new(error))
		p.mu.Lock()
		w := p.workers[0]
		p.mu.Unlock()
		for range graceTicks - 1 {
			require.NoError(t, p.tick(time.Hour))
		}
		w.deadline.Add(1)
		assert.NoError(t, p.tick(time.Hour))
		release()
		require.NoError(t, p.Close(t.Context()))
	})
}
