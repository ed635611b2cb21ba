package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOrderPerKey(t *testing.T) {
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

func TestKeysRunConcurrently(t *testing.T) {
	for bound, want := range map[int]time.Duration{0: time.Second, 10: time.Second, 5: 2 * time.Second, 1: 10 * time.Second} {
		t.Run(fmt.Sprintf("bound=%d", bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Concurrency: bound}, slow(time.Second))
				began := time.Now()
				r.deliver(batch(0, "a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1", "j1")...)
				r.allHandled(10)
				assert.Equal(t, want, time.Since(began))
				assert.Equal(t, int(10*time.Second/want), r.most)
			})
		})
	}
}

func TestRecordsWithoutKeyAreOrderedByTheirDataID(t *testing.T) {
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
		assert.Equal(t, 9*time.Second+8*time.Second+7*time.Second, time.Since(began), "a and b concurrently")
	})
}

// The TypeScript app writes notifications without key and subject. Each has its own queue, shared with its repeats.
func TestNotificationsWithoutSubjectRunConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, done := map[string]bool{}, 0
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
			done++
			return nil
		})
		p := bus.NewEngine(c, nil, bus.Options{}).Open(t.Context(), 0, time.Time{}, nil)
		for i := range 602 {
			p.Deliver([]bus.Record{{Offset: int64(i), Value: fmt.Appendf(nil,
				`{"eventId":"n%d","eventType":"notification","data":{"type":"machine"}}`, i/2)}})
		}
		pass(3 * time.Second)
		mu.Lock()
		assert.Equal(t, 600, done)
		mu.Unlock()
		handled, _, _ := p.Handled()
		assert.Equal(t, int64(300), handled, "all before the slow one")
		require.NoError(t, p.Close(t.Context()))
	})
}

// A crash or rebalance repeats what was done ahead of a stuck event, so that has a bound of its own.
func TestNoEventBeginsTooFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 10}, onKey("a", unavailable))
		names := []string{"b1", "a1"}
		for range 100 {
			names = append(names, "c1", "d1")
		}
		r.deliver(batch(0, names...)...)
		pass(time.Hour)
		assert.Len(t, r.done, 10, "b1 and 9 after a1")
		r.becomes(nil)
		r.allHandled(202)

		r.becomes(onKey("a", unavailable))
		r.openFor(time.Minute)
		r.deliver(batch(0, names...)...)
		require.ErrorContains(t, r.Wait(t.Context()), "before all events were handled")
		require.NoError(t, r.Close(t.Context()))
		r.handledUpTo(1)
	})
}

// A gap that is farther ahead than any event may begin ends with the event before it.
func TestGapBehindMoreEventsThanMayBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 2}, onKey("a", slow(time.Second)))
		r.deliver(batch(0, "a1", "b1")...)
		r.Skip(3, -1)
		pass(time.Minute)
		r.handledUpTo(3)
		r.deliver(batch(3, "a2", "b2")...)
		r.allHandled(5)
	})
}

// Each part of a record counts, and so does its overhead in memory: a million empty headers take 100 MB.
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
				r.canWrite(errors.New("not now"))
				r.deliver(record)
				assert.True(t, r.Full())
				r.canWrite(nil)
				r.allHandled(1)
				synctest.Wait()
				assert.Equal(t, 1, r.roomCalls())
			})
		})
	}
}

// A record that waits, or whose handler runs, must not hold the memory of the whole fetch that it came with.
func TestWaitingRecordsAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		r := newRig(t, bus.Options{}, onKey("a", func(context.Context, event) error { <-end; return nil }))
		r.canWrite(errors.New("full"))
		records := batch(0, "a1", "a2", "b1")
		records = append(records, bus.Record{Topic: "moved", Offset: 3, Key: []byte("c"), Value: []byte("no JSON"),
			Headers: []bus.Header{{Key: "of", Value: []byte("c")}}})
		want := *records[3].Clone()
		fetched := new([1 << 20]byte)
		held, rest := weak.Make(fetched), fetched[:]
		share := func(b *[]byte) { n := copy(rest, *b); *b, rest = rest[:n:n], rest[n:] }
		for i := range records {
			share(&records[i].Key)
			share(&records[i].Value)
			for n := range records[i].Headers {
				share(&records[i].Headers[n].Value)
			}
		}
		r.deliver(records...)
		pass(time.Second)
		runtime.GC()
		assert.True(t, held.Value() == nil, "the fetch is still in memory") //nolint:testifylint // Nil would print it
		assert.ElementsMatch(t, []string{"a1", "b1"}, r.began)
		close(end)
		r.canWrite(nil)
		r.allHandled(4)
		r.inOrder()
		assert.Equal(t, want, r.deadLetters[0].Record)
	})
}

// Room comes when half is left. Until then Full stays true, or a caller that has stopped would not notice.
func TestRoomIsCalledOnceAtHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{MaxBuffered: 10}, slow(time.Second))
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

		r.deliver(batch(10, "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a0")...)
		r.allHandled(20)
		synctest.Wait()
		assert.Equal(t, 1, r.roomCalls(), "Full was not called")
	})
}

func TestCloseFinishesRunningHandlersAndDropsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Concurrency: 2}, slow(time.Second))
		r.deliver(batch(0, "a1", "b1", "a2", "c1")...)
		pass(time.Second / 2)
		began := time.Now()
		require.NoError(t, r.Close(within(t, time.Minute)))
		assert.Equal(t, time.Second/2, time.Since(began))
		r.handledUpTo(2)
		pass(time.Hour)
		assert.Len(t, r.began, 2, "nothing runs afterwards")
		r.handledUpTo(2)
	})
}

// Events before one that was handled are handled too, or every rebalance would repeat that one.
func TestCloseFinishesEventsBeforeHandledOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, onKey("a", slow(time.Second)))
		r.deliver(batch(0, "a1", "a2", "b1", "a3", "b2", "a4")...)
		synctest.Wait()
		require.NoError(t, r.Close(within(t, time.Minute)))
		assert.Equal(t, []string{"b1", "b2", "a1", "a2", "a3"}, r.done)
		r.handledUpTo(5)
	})
}

// The error of a cancelled handler counts neither against the event nor as an outage.
func TestCloseCancelsHandlersThatTakeTooLong(t *testing.T) {
	for what, result := range map[string]error{"context's error": context.Canceled, "other error": errors.New("connection closed")} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, bus.Options{Attempts: 1}, func(ctx context.Context, _ event) error { <-ctx.Done(); return result })
				r.deliver(batch(0, "a1", "b1")...)
				synctest.Wait()
				began := time.Now()
				require.ErrorIs(t, r.Close(within(t, time.Second)), context.DeadlineExceeded)
				assert.Equal(t, time.Second, time.Since(began))
				r.handledUpTo(0)
				assert.Zero(t, r.rejected())
				assert.NoError(t, r.overrunError())
				for _, report := range r.reports {
					assert.Equal(t, bus.Unavailable, report.Outcome)
				}
			})
		})
	}
}

func TestCloseOfAHandlerThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(context.Context, event) error {
			time.Sleep(20 * time.Second)
			return nil
		})
		r.deliver(batch(0, "a1", "a2")...)
		synctest.Wait()
		began := time.Now()
		require.ErrorContains(t, r.Close(within(t, 10*time.Second)), "moved/7")
		assert.InDelta(t, 14*time.Second, time.Since(began), float64(400*time.Millisecond), "10 s and the grace period")
		require.Error(t, r.overrunError())
		pass(time.Hour)
		r.handledUpTo(0) // it ended too late for the commit
		assert.Len(t, r.began, 1)
	})
}

func TestNoRetryIsAwaitedThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{}, func(ctx context.Context, e event) error {
			if e.Data.ID == "a" {
				return &events.Error{Kind: events.Unavailable, RetryAfter: 20 * time.Second}
			}
			return slow(time.Second)(ctx, e)
		})
		r.openFor(30 * time.Second)
		began := time.Now()
		r.deliver(batch(0, "b1", "a1", "a2", "c1", "a3")...)
		require.ErrorContains(t, r.Wait(t.Context()), "before all events were handled")
		assert.Equal(t, 20*time.Second, time.Since(began), "one retry at 20 s, none at 40 s")
		require.NoError(t, r.Close(t.Context()))
		r.handledUpTo(1)
		assert.ElementsMatch(t, []string{"a1", "a1", "b1", "c1"}, r.began)
	})
}

// A handler that the end of an invocation cuts short has not failed.
func TestHandlersHaveNoDeadlineAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Attempts: 1, StallAfter: 1}, func(ctx context.Context, _ event) error {
			<-ctx.Done()
			return errors.New("connection closed")
		})
		r.openFor(3 * time.Second)
		began := time.Now()
		r.deliver(batch(0, "a1")...)
		require.Error(t, r.Wait(t.Context()))
		assert.Equal(t, 3*time.Second, time.Since(began))
		require.NoError(t, r.Close(t.Context()))
		r.handledUpTo(0)
		assert.Zero(t, r.rejected())
	})
}
