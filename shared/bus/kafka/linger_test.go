package kafka_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

type publish func() (bus.Position, error)

func (p publish) Publish(context.Context, events.Any) (bus.Position, error) { return p() }

// Events that come within 20 ms are passed on together, and 16 at once.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		passed := map[time.Duration]int{}
		to := kafka.Linger(publish(func() (bus.Position, error) {
			mu.Lock()
			defer mu.Unlock()
			passed[time.Since(began)]++
			return bus.Position{Offset: 7}, context.Canceled
		}))
		var all sync.WaitGroup
		send := func(ctx context.Context, n int) {
			for range n {
				all.Go(func() {
					at, err := to.Publish(ctx, events.Event[events.Notification]{})
					assert.EqualValues(t, 7, at.Offset)
					assert.ErrorIs(t, err, context.Canceled)
				})
			}
			synctest.Wait()
		}
		send(t.Context(), 2)
		time.Sleep(15 * time.Millisecond)
		send(t.Context(), 1)
		time.Sleep(15 * time.Millisecond)
		send(t.Context(), 25)
		ended, end := context.WithCancel(t.Context())
		end()
		send(ended, 1)
		all.Wait()
		const ms = time.Millisecond
		assert.Equal(t, map[time.Duration]int{20 * ms: 3, 30 * ms: 16 + 1, 50 * ms: 9}, passed)
	})
}
