package kafka

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// Records wait for those in flight, in their order, but no longer than maxWait: their brokers may be others.
func TestRecordsWaitForThoseInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{maxWait: flightWait}
		var sent string
		enter := func(names string) {
			for _, name := range names {
				g.enter(func() { sent += string(name) })
			}
		}
		passed := func() string {
			g.mu.Lock()
			defer g.mu.Unlock()
			return sent
		}
		enter("abc")
		assert.Equal(t, "a", passed())
		g.leave()
		assert.Equal(t, "abc", passed())
		enter("d")
		g.leave() // c is still in flight
		time.Sleep(flightWait / 2)
		enter("e")
		assert.Equal(t, "abc", passed())
		time.Sleep(flightWait / 2)
		synctest.Wait()
		assert.Equal(t, "abcde", passed())
		enter("f")
		g.open() // the publisher closes
		assert.Equal(t, "abcdef", passed())
		for range "cdef" {
			g.leave()
		}
		enter("g")
		assert.Equal(t, "abcdefg", passed())
	})
}
