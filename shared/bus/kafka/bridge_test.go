package kafka_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Offsets without an event between two batches are not missing from the model; an event is.
func TestBridgeGaps(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		_, inTransaction := b.transactional()
		inTransaction(kgo.TryCommit, &kgo.Record{Value: []byte("0")}) // 1 is its marker
		b.settled()
		b.write(&kgo.Record{Value: []byte("2")}, &kgo.Record{Value: []byte("3")})
		held, asked, failure := map[int32]int64{}, 0, error(nil)
		open := func() func(from, to int64) int64 {
			var began int64
			advance := kafka.BridgeGaps(b.Kafka, func(context.Context, string) (map[int32]int64, error) {
				asked++
				return maps.Clone(held), failure
			}, func(_ context.Context, _ string, from, to map[int32]int64) error {
				if began = from[0]; from[0] <= held[0] {
					held[0] = to[0]
				}
				return nil
			})
			return func(from, to int64) int64 {
				began = -1
				err := advance(t.Context(), b.topic, map[int32]int64{0: from}, map[int32]int64{0: to})
				assert.ErrorIs(t, err, failure)
				return began
			}
		}
		batch := open()
		assert.EqualValues(t, 0, batch(0, 1))
		require.Zero(t, asked, "the first event of the topic")
		assert.EqualValues(t, 1, batch(2, 3), "behind a marker")
		assert.EqualValues(t, 3, batch(3, 4))
		assert.Equal(t, 1, asked, "a batch that continues the last one asks for nothing")

		held[0] = 1
		assert.EqualValues(t, 1, open()(2, 3), "a new process")
		held[0] = 1
		assert.EqualValues(t, 3, open()(3, 4), "2 is an event")
		failure = errors.New("no table")
		assert.EqualValues(t, -1, open()(3, 4))
	})
}
