package kafka_test

import (
	"context"
	"testing"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestLettersAreCountedByClass(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		letters := bus.DeadLetterTopic(b.topic)
		letter := func(partition int32, classes ...string) *kgo.Record {
			r := &kgo.Record{Topic: letters, Partition: partition}
			for _, class := range classes {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: bus.HeaderClass, Value: []byte(class)})
			}
			return r
		}
		for range 250 { // the first 50 of them are not looked at
			b.write(letter(1, "undecodable"))
		}
		b.write(letter(0, "panic"), letter(0, "conflict"), letter(0, "panic", "conflict"), letter(0), letter(0, "<b>"))
		counts, err := kafka.CountDeadLetters(t.Context(), b.Kafka, letters, b.topic, "missing")
		require.NoError(t, err)
		assert.Equal(t, map[string]kafka.DeadLetterCount{
			b.topic: {Classes: map[bus.Class]int{}},
			letters: {All: 255, Newest: 205, Classes: map[bus.Class]int{bus.Undecodable: 200, bus.Panicked: 1, bus.Conflicting: 2, "other": 2}},
		}, counts, "the last header is ours, a record's own stand before it")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = kafka.CountDeadLetters(ctx, b.Kafka, letters)
		require.Error(t, err, "not even how many")
	})
}
