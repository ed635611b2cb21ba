package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventsOfOneKeyAreHandledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := map[string]bool{}
		r := newRig(t, bus.Options{Concurrency: 1}, func(_ context.Context, e event) error {
			if e.Data.Seq%2 == 1 && !failed[name(e)] {
				failed[name(e)] = true
				return events.Errorf(events.Unavailable, "later")
			}
			return nil
		})
		r.deliver(batch(0, "a1", "b1", "a2", "c1", "b2", "a3", "a4")...)
		r.allHandled(7)
		r.inOrder()
		assert.Len(t, r.done, 7)
	})
}

func TestDifferentKeysRunAtTheSameTime(t *testing.T) {
	for bound, want := range map[int]time.Duration{0: time.Second, 10: time.Second, 5: 2 * time.Second, 1: 10 * time.Second} {
		t.Run(fmt.Sprintf("bound=%d", bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Concurrency: bound}, func(context.Context, event) error {
					time.Sleep(time.Second)
					return nil
				})
				began := time.Now()
				r.deliver(batch(0, "a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1", "j1")...)
				r.allHandled(10)
				assert.Equal(t, want, time.Since(began))
				assert.LessOrEqual(t, r.most, max(bound, 10*(1-min(bound, 1))))
			})
		})
	}
}

// A handler that was quick so far is left to one goroutine. When it becomes slow the others must not wait for it.
func TestQuickHandlerThatBecomesSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			if e.Data.Seq == 9 {
				time.Sleep(time.Second)
			}
			return nil
		})
		for n := range int64(300) {
			r.deliver(moved(n, "q1"))
		}
		r.allHandled(300)
		began := time.Now()
		r.deliver(batch(300, "a9", "b9", "c9", "d9", "e9", "f9", "g9", "h9", "i9", "j9")...)
		synctest.Wait()
		r.deliver(batch(310, "k9", "l9")...)
		r.allHandled(312)
		assert.InDelta(t, time.Second, time.Since(began), float64(10*time.Millisecond))
	})
}

func TestStuckKeyStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Bool
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			if e.Data.ID == "a" && !open.Load() {
				return events.Errorf(events.Unavailable, "later")
			}
			return nil
		})
		r.deliver(batch(0, "b1", "a1", "b2", "c1", "a2", "c2")...)
		pass(time.Hour)
		assert.ElementsMatch(t, []string{"b1", "b2", "c1", "c2"}, r.done)
		r.handledUpTo(1)
		open.Store(true)
		r.allHandled(6)
		r.inOrder()
	})
}

func TestRecordsWithoutKeyAreOrderedByTheirThing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			time.Sleep(time.Duration(10-e.Data.Seq) * time.Second) // out of order, if they run at the same time
			return nil
		})
		empty := keyless(3, "b2")
		empty.Key = []byte{}
		began := time.Now()
		r.deliver(keyless(0, "a1"), moved(1, "a2"), keyless(2, "b1"), empty, keyless(4, "a3"))
		r.allHandled(5)
		r.inOrder()
		assert.Equal(t, 9*time.Second+8*time.Second+7*time.Second, time.Since(began), "a and b beside each other")
	})
}

// The TypeScript app writes notifications without key and subject. Each is a queue of its own, with its repeats.
func TestNotificationsWithoutSubjectRunConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := map[string]bool{}
		var done atomic.Int64
		var mu sync.Mutex
		c := bus.NewConsumer("g", func(_ context.Context, e events.Event[events.Notification]) error {
			mu.Lock()
			assert.False(t, running[e.ID], "%s and its repeat at the same time", e.ID)
			running[e.ID] = true
			mu.Unlock()
			if time.Sleep(200 * time.Millisecond); e.ID == "n150" {
				time.Sleep(6 * time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			running[e.ID] = false
			done.Add(1)
			return nil
		})
		p := bus.NewEngine(c, nil, bus.Options{}).Open(0, nil)
		for i := range 602 {
			p.Deliver([]bus.Record{{Offset: int64(i), Value: fmt.Appendf(nil,
				`{"eventId":"n%d","eventType":"notification","data":{"type":"machine"}}`, i/2)}})
		}
		pass(3 * time.Second)
		assert.EqualValues(t, 600, done.Load())
		handled, _, _ := p.Handled()
		assert.Equal(t, int64(300), handled, "all before the slow one")
		require.NoError(t, p.Close(t.Context()))
	})
}

// What cannot be decoded waits for its turn like everything else of its key.
func TestUndecodableInTheMiddleOfAKey(t *testing.T) {
	for what, value := range map[string][]byte{
		"tombstone": nil, "empty": {}, "no JSON": []byte("?"), "no id": []byte(`{"eventId":"x","eventType":"moved","data":{}}`),
		"another type": []byte(`{"eventId":"x","eventType":"y","data":{"id":"a"}}`), "null": []byte("null"),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{}, func(context.Context, event) error {
					time.Sleep(time.Second)
					return nil
				})
				bad := bus.Record{Topic: "moved", Partition: 7, Offset: 1, Key: []byte("a"), Value: value}
				r.deliver(moved(0, "a1"), bad, moved(2, "a2"))
				synctest.Wait()
				assert.Empty(t, r.letters, "before its turn")
				r.allHandled(3)
				require.Len(t, r.letters, 1)
				assert.Equal(t, bus.Undecodable, r.letters[0].Class)
				assert.Equal(t, 1, r.letters[0].Attempts)
				assert.Equal(t, bad, r.letters[0].Record)
				assert.Equal(t, []string{"a1", "a2"}, r.done)
			})
		})
	}
}

// panicky is a type whose decoding panics.
type panicky struct{ events.Base }

func (panicky) Topic() string { return "panicky" }
func (p panicky) Key() string {
	if p.ID == "bad" {
		panic("no key")
	}
	return p.ID
}
func (p *panicky) UnmarshalJSON([]byte) error { panic("no decoder") }

func TestDecoderThatPanicsIsNotTheEndOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, nil)
		c := bus.NewConsumer("g", func(context.Context, events.Event[panicky]) error { return nil })
		p := bus.NewEngine(c, r, bus.Options{}).Open(0, nil)
		p.Deliver([]bus.Record{{Value: []byte(`{"eventId":"x","eventType":"panicky","data":{"id":"a"}}`)}})
		require.NoError(t, p.Wait(t.Context()))
		require.NoError(t, p.Close(t.Context()))
		require.Len(t, r.letters, 1)
		assert.Equal(t, bus.Undecodable, r.letters[0].Class)
	})
}

func TestHandledMovesOverGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		fail.Store(true)
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			if fail.Load() && name(e) == "b1" {
				return events.Errorf(events.Unavailable, "later")
			}
			return nil
		})
		r.handledUpTo(0)
		r.deliver(moved(5, "a1"), moved(9, "b1"), moved(100, "a2"))
		pass(time.Second)
		r.handledUpTo(6)
		fail.Store(false)
		r.allHandled(101)
	})
}

func TestStepsEndWithTheFirstError(t *testing.T) {
	var steps []string
	step := func(name string, err error) bus.Handler[Moved] {
		return func(context.Context, event) error {
			steps = append(steps, name)
			return err
		}
	}
	r := &rig{t: t}
	c := bus.NewConsumer("g", step("project", nil), step("react", events.Wrap(events.Invalid, errors.New("no"), "no")), step("never", nil))
	p := bus.NewEngine(c, r, bus.Options{}).Open(0, nil)
	p.Deliver(batch(0, "a1"))
	require.NoError(t, p.Wait(t.Context()))
	require.NoError(t, p.Close(t.Context()))
	assert.Equal(t, []string{"project", "react"}, steps)
	assert.Len(t, r.letters, 1)
}
