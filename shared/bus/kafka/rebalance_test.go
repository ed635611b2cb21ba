package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Workers join and leave while events are written. A rebalance finishes and commits the work in progress, so no event is
// even delivered twice.
func TestWorkersJoinAndLeave(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const partitions = 6
		b.create(partitions)
		records, steps := many(partitions, 18, 60)
		d := newDiary(t)
		slowly := func(ctx context.Context, e event) error {
			if e.Data.Seq%7 == 0 {
				time.Sleep(2 * time.Millisecond) // as long as a database
			}
			return d.handler(ctx, e)
		}
		write := func(part int) { b.write(records[part*len(records)/4 : (part+1)*len(records)/4]...) }
		first := b.consume(kafka.Options{}, slowly)
		write(0)
		first.waitFor(partitions)
		second := b.consume(kafka.Options{}, slowly)
		write(1)
		second.waitFor(partitions / 2)
		third := b.consume(kafka.Options{}, slowly)
		write(2)
		third.waitFor(partitions / 3)
		require.NoError(t, first.end())
		write(3)
		require.NoError(t, third.end())
		d.waitFor(steps)
		require.NoError(t, second.end())
		assert.Zero(t, d.repeats)
		assert.Len(t, d.done, len(records))
	})
}

// A rebalance revokes a partition from a worker whose handler runs until it is cancelled. The next one begins with
// that event, and only when that handler is over.
func TestRebalanceAbandonsSlowHandlers(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		b.write(moved(0, "a", 1), moved(1, "b", 1))
		d := newDiary(t)
		running := make(chan string, 10)
		first := b.consume(kafka.Options{CloseTimeout: 200 * time.Millisecond}, func(ctx context.Context, e event) error {
			running <- e.Data.ID
			<-ctx.Done()
			return ctx.Err()
		})
		<-running
		<-running
		second := b.consume(kafka.Options{}, d.handler)
		second.waitFor(1)
		require.NoError(t, first.end())
		d.waitFor(map[string]int{"a": 1, "b": 1})
		require.NoError(t, second.end())
	})
}
