package trigger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRandomFailures simulates AWS: it invokes handlers that are slow, fail, panic and hang with batches of any size from
// several partitions, with deadlines of any length, until everything is handled. Nothing is lost, every key stays in order,
// responses name records of their batch only, deadlines are kept, and nothing runs between invocations.
//
// The seed of a run that failed is printed: SEED in the code repeats it.
func TestRandomFailures(t *testing.T) {
	const SEED = 0
	for i := range 20 {
		seed := rand.Uint64()
		if SEED != 0 {
			seed = SEED
		}
		partial := i%2 == 0
		t.Run(fmt.Sprintf("partial=%t/seed=%d", partial, seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { (&model{t: t, random: rand.New(rand.NewPCG(seed, 0))}).run(partial) })
		})
	}
}

type model struct {
	t      *testing.T
	mu     sync.Mutex
	random *rand.Rand
	ended  map[string]int // partition and key -> the number of its last event that ended for the first time
}

func (m *model) roll(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

// end notes that an event is done or in a dead letter. Its id is "partition/key", which keeps partitions apart.
func (m *model) end(id string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.ended[id] {
		assert.Equal(m.t, m.ended[id]+1, n, "%s is out of order, or lost an event", id)
		m.ended[id] = n
	}
}

func (m *model) handle(ctx context.Context, e event) error {
	switch m.roll(30) {
	case 0:
		return events.Errorf(events.Unavailable, "later")
	case 1:
		return &events.Error{Kind: events.Unavailable, RetryAfter: time.Hour}
	case 2:
		return errors.New("?")
	case 3:
		panic("?")
	case 4:
		return events.Errorf(events.Conflict, "no")
	case 5:
		<-ctx.Done()
		return ctx.Err()
	case 6:
		time.Sleep(time.Duration(m.roll(int(2 * time.Second)))) // perhaps too long, and ignores ctx
	case 7, 8, 9:
		time.Sleep(time.Duration(m.roll(int(10 * time.Millisecond))))
	}
	m.end(e.Data.ID, e.Data.Seq)
	return nil
}

func (m *model) Write(_ context.Context, l bus.DeadLetter) error {
	if m.roll(4) == 0 {
		return errors.New("not now")
	}
	e, err := events.Decode[Moved](l.Record.Value)
	require.NoError(m.t, err)
	m.end(e.Data.ID, e.Data.Seq)
	return nil
}

func (m *model) run(partial bool) {
	t := m.t
	m.ended = map[string]int{}
	seq, topic, offset := map[string]int{}, make([][]bus.Record, 1+m.roll(4)), int64(0)
	for range 300 {
		partition := int32(m.roll(len(topic)))
		id := fmt.Sprintf("%d/%c", partition, 'a'+m.roll(1+m.roll(10)))
		seq[id]++
		topic[partition] = append(topic[partition], bus.Record{
			Topic: "moved", Partition: partition, Offset: offset, Key: []byte(id),
			Value: fmt.Appendf(nil, `{"eventId":"e-%s-%d","eventType":"moved","data":{"id":%q,"seq":%d}}`, id, seq[id], id, seq[id]),
		})
		offset += int64(1 + m.roll(2)) // compaction leaves holes
	}
	h := trigger.New(bus.NewConsumer("movers", m.handle), m, trigger.Options{
		Partial: partial, Logger: slog.New(slog.DiscardHandler),
		Delivery: bus.Options{
			Concurrency: 1 + m.roll(10), Attempts: 1 + m.roll(3), HandlerTimeout: time.Second, Grace: 5 * time.Second,
			MinBackoff: time.Millisecond, MaxBackoff: time.Second, Overrun: func(err error) { require.NoError(t, err) },
		},
	})
	next := make([]int, len(topic)) // the next record of each partition
	for invocations := 0; ; invocations++ {
		require.Less(t, invocations, 20000)
		taken := make([]int, len(topic))
		var b []bus.Record
		for p := range topic {
			taken[p] = min(m.roll(20), len(topic[p])-next[p])
			b = append(b, topic[p][next[p]:next[p]+taken[p]]...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second+time.Duration(m.roll(int(20*time.Second))))
		answer, err := h.Invoke(ctx, encode(b...))
		require.NoError(t, ctx.Err())
		cancel()
		m.mu.Lock()
		before := fmt.Sprint(m.ended)
		m.mu.Unlock()
		pass(time.Minute)
		require.Equal(t, before, fmt.Sprint(m.ended), "something ran on")
		var back []string
		if partial {
			require.NoError(t, err)
			back = returned(t, string(answer))
		} else if err != nil {
			require.ErrorContains(t, err, "must be retried")
			continue // the whole batch is retried
		}
		rest := false
		for p := range topic {
			failed := slices.IndexFunc(topic[p][next[p]:next[p]+taken[p]], func(r bus.Record) bool {
				return slices.Contains(back, fmt.Sprintf("%d/%d", p, r.Offset))
			})
			if failed < 0 {
				failed = taken[p]
			}
			for _, r := range topic[p][next[p]+failed : next[p]+taken[p]] { // all after the first are named
				name := fmt.Sprintf("%d/%d", p, r.Offset)
				require.Contains(t, back, name)
				back = slices.DeleteFunc(back, func(s string) bool { return s == name })
			}
			next[p] += failed
			rest = rest || next[p] < len(topic[p])
		}
		require.Empty(t, back, "named, and not in the batch")
		if !rest {
			break
		}
	}
	assert.Equal(t, seq, m.ended)
}
