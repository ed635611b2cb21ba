package bus_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gate lets the events of key a through once it is open; the others always.
type gate struct{ open atomic.Bool }

func (g *gate) handle(_ context.Context, e event) error {
	if !g.open.Load() && e.Data.ID == "a" {
		return events.Errorf(events.Unavailable, "later")
	}
	return nil
}

func (r *rig) roomCalls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rooms
}

// A stuck key may let others go on up to a bound: what is counted reaches from the first event that is not handled to the
// last delivered, whether those between are handled or not. Else a key stuck for days would fill the memory.
func TestFullCountsFromTheFirstUnhandledEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		r := newRig(t, bus.Options{MaxBuffered: 10}, g.handle)
		r.deliver(batch(0, "a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1")...)
		pass(time.Second)
		assert.Len(t, r.done, 8)
		assert.False(t, r.Full(), "9 of 10")
		r.deliver(moved(9, "j1"))
		pass(time.Second)
		assert.True(t, r.Full(), "10 of 10")
		assert.Zero(t, r.roomCalls())
		g.open.Store(true)
		r.allHandled(10)
		synctest.Wait()
		assert.False(t, r.Full())
		assert.Equal(t, 1, r.roomCalls())
	})
}

// What is done ahead of a stuck event is repeated after a crash or rebalance, so it has a bound of its own.
func TestNoEventBeginsTooFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		r := newRig(t, bus.Options{MaxBuffered: 10}, g.handle)
		names := []string{"b1", "a1"}
		for range 100 {
			names = append(names, "c1", "d1")
		}
		r.deliver(batch(0, names...)...)
		pass(time.Hour)
		assert.Len(t, r.done, 10, "b1 and 9 after a1")
		g.open.Store(true)
		r.allHandled(202)

		g.open.Store(false)
		r.openUntil(r.newEngine(bus.Options{MaxBuffered: 10}), time.Minute)
		r.deliver(batch(0, names...)...)
		require.ErrorContains(t, r.Wait(t.Context()), "cannot be retried before the deadline")
		require.NoError(t, r.Close(t.Context()))
		r.handledUpTo(1)
	})
}

// Each part of a record counts, and so does what it takes beside its bytes: a million empty headers are 100 MB.
func TestFullCountsMemory(t *testing.T) {
	for what, record := range map[string]bus.Record{
		"value":         {Value: make([]byte, 1<<20)},
		"key":           {Key: make([]byte, 1<<20)},
		"header value":  {Headers: []bus.Header{{Value: make([]byte, 1<<20)}}},
		"header key":    {Headers: []bus.Header{{Key: strings.Repeat("k", 1<<20)}}},
		"empty headers": {Headers: make([]bus.Header, 1<<20/40)},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{MaxBufferedBytes: 1 << 20}, nil)
				r.refuse = func(bus.DeadLetter) error { return errors.New("not now") }
				assert.False(t, r.Full())
				r.deliver(record)
				assert.True(t, r.Full())
				r.mu.Lock()
				r.refuse = nil
				r.mu.Unlock()
				r.allHandled(1)
				synctest.Wait()
				assert.Equal(t, 1, r.roomCalls())
			})
		})
	}
}

// Room is made when half is left. Until then the partition stays full, whoever asks, or the feeder that stopped would
// never be told.
func TestRoomIsCalledOnceAtHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 10}, func(context.Context, event) error {
			time.Sleep(time.Second)
			return nil
		})
		r.deliver(batch(0, "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9")...)
		assert.True(t, r.Full())
		pass(4*time.Second + time.Millisecond)
		assert.True(t, r.Full(), "6 left")
		assert.Zero(t, r.roomCalls())
		pass(time.Second)
		assert.Equal(t, 1, r.roomCalls())
		assert.False(t, r.Full(), "5 left")
		r.allHandled(10)
		assert.Equal(t, 1, r.roomCalls())
	})
}

func TestRoomIsNotCalledUnlessFullWasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 1}, nil)
		r.deliver(batch(0, "a1", "a2", "a3")...)
		r.allHandled(3)
		synctest.Wait()
		assert.Zero(t, r.roomCalls())
	})
}

// A feeder may call back into the partition from room.
func TestRoomMayDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, nil)
		var p *bus.Partition
		next := int64(0)
		more := func() {
			for next < 100 && !p.Full() {
				p.Deliver(batch(next, "a1", "b1", "c1", "d1"))
				next += 4
			}
		}
		p = bus.NewEngine(bus.NewConsumer("g", r.handler), r, bus.Options{MaxBuffered: 8}).Open(0, func() { more() })
		more()
		synctest.Wait()
		assert.Len(t, r.done, 100)
		assert.NoError(t, p.Close(t.Context()))
	})
}
