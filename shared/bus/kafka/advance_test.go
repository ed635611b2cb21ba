package kafka_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// advances remembers the calls of Options.Advance, and fails the first so many with a range.
type advances struct {
	mu    sync.Mutex
	fails int
	at    []int64 // where partition 0 began
	spans [][2]int64
}

func (a *advances) note(_ context.Context, _ string, from, to map[int32]int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	start, assigned := from[0]
	end := to[0]
	switch {
	case !assigned:
	case start == end:
		a.at = append(a.at, start)
	case a.fails > 0:
		a.fails--
		return errors.New("no database")
	default:
		a.spans = append(a.spans, [2]int64{start, end})
	}
	return nil
}

func TestAdvanceIsCalledBeforeEachCommit(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(0, "a", 2))
		d := newDiary(t)
		a := &advances{fails: 2}
		w := b.consume(kafka.Options{Advance: a.note, CommitInterval: 10 * time.Millisecond}, d.handler)
		d.waitFor(map[string]int{"a": 2})
		require.Eventually(t, func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return len(a.spans) > 0
		}, waitTimeout, time.Millisecond)
		b.write(moved(0, "a", 3))
		d.waitFor(map[string]int{"a": 3})
		require.NoError(t, w.end())
		b.write(moved(0, "a", 4))
		w = b.consume(kafka.Options{Advance: a.note}, d.handler)
		d.waitFor(map[string]int{"a": 4})
		require.NoError(t, w.end())
		assert.Equal(t, []int64{0, 3}, a.at)
		assert.Zero(t, a.fails, "a commit waits until Advance succeeds")
		at := int64(0)
		for _, span := range a.spans {
			assert.Equal(t, at, span[0])
			at = span[1]
		}
		assert.EqualValues(t, 4, at)
		assert.EqualValues(t, 4, b.committed(0))
	})
}
