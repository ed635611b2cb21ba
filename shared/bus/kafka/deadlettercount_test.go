package kafka_test

import (
	"testing"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestDeadLettersAreCountedByClassAndSource(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(2)
		deadLetters := bus.DeadLetterTopic(b.topic)
		letter := func(partition int32, offset int64, classes ...string) *kgo.Record {
			r := &kgo.Record{Topic: deadLetters, Partition: partition}
			for _, class := range classes {
				for _, h := range (bus.DeadLetter{Record: bus.Record{Topic: b.topic, Offset: offset},
					Class: bus.Class(class)}).Encode().Headers {
					r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
				}
			}
			return r
		}
		var first []*kgo.Record
		for n := range 1050 { // the first 50 of them are not read
			first = append(first, letter(1, int64(100+n), "undecodable"))
		}
		b.write(first...)
		b.write(letter(0, 1, "panic"), letter(0, 2, "conflict"), letter(0, 3, "panic", "conflict"), letter(0, 4), letter(0, 5,
			"<b>"),
			letter(0, 2, "conflict"), letter(0, 2, "conflict")) // redelivered
		counts, err := kafka.CountDeadLetters(t.Context(), b.Kafka, deadLetters, b.topic, "missing")
		require.NoError(t, err)
		assert.Equal(t, map[string]kafka.DeadLetterCount{
			b.topic: {Classes: map[bus.Class]int{}, Complete: true},
			deadLetters: {Records: 1057, Read: 1007, Events: 1005,
				Classes: map[bus.Class]int{bus.Undecodable: 1000, bus.Panicked: 1, bus.Conflicting: 2, "other": 2}},
		}, counts, "the last header is ours, a record's own stand before it")
	})
}
