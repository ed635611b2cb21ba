package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRandomFaults delivers thousands of events to handlers that are slow, fail, panic and hang, and closes and reopens the
// partition at Handled many times, as rebalances do. Nothing is lost and every key stays in order; synctest checks that no
// goroutine is left. SEED repeats a run by the seed that it printed.
func TestRandomFaults(t *testing.T) {
	t.Parallel() // TestSuspendedChild waits meanwhile
	const SEED = 0
	for range 20 {
		seed := rand.Uint64()
		if SEED != 0 {
			seed = SEED
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { model(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func model(t *testing.T, random *rand.Rand) {
	const total = 2000
	records := make([]bus.Record, 0, total)
	seq := map[string]int{}
	offset := int64(0)
	for range total {
		id := string(rune('a' + random.IntN(1+random.IntN(26))))
		seq[id]++
		r := moved(offset, fmt.Sprintf("%s%d", id, seq[id]))
		switch random.IntN(20) {
		case 0:
			r.Key = nil
		case 1:
			r.Value = nil // a tombstone
		}
		records = append(records, r)
		offset += 1 + int64(random.IntN(3)/2)
	}
	var mu sync.Mutex // of random too, from here on
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	ended := map[string]int{} // key -> the number of its last event that ended for the first time
	end := func(id string, n int) {
		mu.Lock()
		defer mu.Unlock()
		if n > ended[id] {
			assert.Equal(t, ended[id]+1, n, "key %s is out of order, or lost an event", id)
			ended[id] = n
		}
	}
	number := map[int64]event{} // by offset: a dead letter may have no value
	counts := map[string]int{}
	for _, r := range records {
		e := event{}
		if decoded, err := events.Decode[Moved](r.Value); err == nil {
			e = decoded
		} else {
			e.Data.ID, e.Data.Seq = string(r.Key), counts[string(r.Key)]+1
		}
		counts[e.Data.ID] = e.Data.Seq
		number[r.Offset] = e
	}
	r := newRig(t, bus.Options{
		MaxBuffered: 1 + roll(200), Concurrency: 1 + roll(10), Attempts: 1 + roll(3), HandlerTimeout: time.Second,
		MinBackoff: time.Millisecond, MaxBackoff: time.Second,
	}, func(ctx context.Context, e event) error {
		switch roll(30) {
		case 0:
			return events.Errorf(events.Unavailable, "later")
		case 1:
			return errors.New("?")
		case 2:
			panic("?")
		case 4:
			return events.Errorf(events.Conflict, "no")
		case 5:
			<-ctx.Done()
			return ctx.Err()
		case 6:
			time.Sleep(time.Duration(roll(int(2 * time.Second)))) // perhaps too long, and ignores ctx
		case 7, 8, 9:
			time.Sleep(time.Duration(roll(int(10 * time.Millisecond))))
		}
		end(e.Data.ID, e.Data.Seq)
		return nil
	})
	r.write = func(l bus.DeadLetter) error {
		if roll(4) == 0 {
			return errors.New("not now")
		}
		e := number[l.Record.Offset]
		end(e.Data.ID, e.Data.Seq)
		return nil
	}
	next, handled := 0, int64(0) // the next record to deliver, and the group's offset
	for next < total || handled <= records[total-1].Offset {
		for next < total && !r.Full() {
			n := min(1+roll(50), total-next)
			r.deliver(append([]bus.Record(nil), records[next:next+n]...)...)
			next += n
		}
		pass(time.Duration(roll(int(time.Second))))
		if now, _, ok := r.Handled(); ok {
			require.GreaterOrEqual(t, now, handled)
			handled = now
		}
		if roll(10) == 0 {
			_ = r.Close(within(t, time.Duration(roll(int(time.Second)))))
			if now, _, ok := r.Handled(); ok {
				handled = now
			}
			for next = 0; next < total && records[next].Offset < handled; next++ {
			}
			r.newEngine()
			r.open()
		}
	}
	assert.Equal(t, seq, ended)
}
