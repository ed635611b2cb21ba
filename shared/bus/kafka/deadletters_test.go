package kafka_test

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestDeadLetterHoldsTheRecordByteForByte(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		b.create(1)
		deadLetters, err := kafka.NewDeadLetters(b.Kafka, discard)
		require.NoError(t, err)
		defer deadLetters.Close()
		for i, r := range []bus.Record{
			{Headers: []bus.Header{{Key: "k"}, {Key: "k", Value: []byte{}}}},
			{Key: []byte{}, Value: []byte{}},
			{Key: []byte{0, 0xff}, Value: []byte{0xff, '\n', 0}, Headers: []bus.Header{{Key: "", Value: []byte{0xfe}}}},
		} {
			r.Topic, r.Partition, r.Offset, r.Timestamp = b.topic, 3, int64(i), time.Unix(1e9, 0)
			require.NoError(t, deadLetters.Write(t.Context(), bus.DeadLetter{Record: r, Consumer: "g", Class: bus.Refused,
				Reason: "no"}))
			kept := b.read(bus.DeadLetterTopic(b.topic), i+1)[i]
			assert.Equal(t, r.Key, kept.Key) // distinguishes nil from empty
			assert.Equal(t, r.Value, kept.Value)
			for n, h := range r.Headers {
				assert.Equal(t, h.Key, kept.Headers[n].Key)
				assert.Equal(t, h.Value, kept.Headers[n].Value)
			}
			assert.Equal(t, bus.HeaderLastAttempts, kept.Headers[len(r.Headers)].Key)
		}
	})
}

// The largest record of a topic fits its dead-letter topic together with the added headers.
func TestLargestRecordFitsIntoTheDeadLetters(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		const largest = 1_048_450
		b.create(1)
		value := bytes.Repeat([]byte("x"), largest)
		b.write(&kgo.Record{Key: []byte("a"), Value: value})
		w := b.consume(kafka.Options{}, newDiary(t).handler)
		deadLetter := b.read(bus.DeadLetterTopic(b.topic), 1)[0]
		require.NoError(t, w.end())
		assert.True(t, bytes.Equal(value, deadLetter.Value))
		assert.EqualValues(t, 1, b.committed(0))
	})
}

// If a dead-letter topic accepts less than it should, a record that is too large for it is written without its value.
func TestDeadLetterTooLargeForItsTopicLosesItsValue(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		limit := "10000"
		_, err := b.admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit},
			bus.DeadLetterTopic(b.topic))
		require.NoError(t, err)
		deadLetters, err := kafka.NewDeadLetters(b.Kafka, discard)
		require.NoError(t, err)
		defer deadLetters.Close()
		large := bus.Record{Topic: b.topic, Offset: 42, Key: []byte("a"), Value: make([]byte, 20_000)}
		eventually(t, func() bool { // all brokers know the new topic
			return deadLetters.Write(t.Context(), bus.DeadLetter{Record: large, Class: bus.Refused, Reason: "no such drink"}) == nil
		})
		kept := b.read(bus.DeadLetterTopic(b.topic), 1)[0]
		assert.Nil(t, kept.Value)
		assert.Equal(t, []byte("a"), kept.Key)
		headers := map[string]string{}
		for _, h := range kept.Headers {
			headers[h.Key] = string(h.Value)
		}
		assert.Equal(t, "too-large", headers[bus.HeaderClass])
		assert.Equal(t, "refused: no such drink", headers[bus.HeaderReason])
		assert.Equal(t, "42", headers[bus.HeaderOffset])
	})
}

func TestMakeTopics(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		week := events.Definition{Topic: b.topic, Partitions: 3, Retention: 7 * 24 * time.Hour}
		wanted := kafka.Topics(week)[:2] // the third is of all
		for _, created := range []bool{true, false} {
			states, err := kafka.MakeTopics(t.Context(), b.Kafka, wanted...)
			require.NoError(t, err)
			require.Len(t, states, 2)
			for i, s := range states {
				assert.Equal(t, wanted[i].Name, s.Topic)
				assert.Equal(t, created, s.Created)
				assert.True(t, s.Exists)
				assert.Empty(t, s.Differences)
			}
		}

		for _, topic := range []struct {
			name                string
			retention, maxBytes int
		}{{b.topic, 604_800_000, 1_048_588}, {b.topic + ".dead-letters", -1, 2_097_176}} {
			configs, err := b.admin.DescribeTopicConfigs(t.Context(), topic.name)
			require.NoError(t, err)
			found := map[string]string{}
			for _, c := range configs[0].Configs {
				found[c.Key] = c.MaybeValue()
			}
			for name, want := range map[string]string{
				"cleanup.policy": "delete", "retention.ms": strconv.Itoa(topic.retention), "retention.bytes": "-1",
				"max.message.bytes": strconv.Itoa(topic.maxBytes),
			} {
				assert.Equal(t, want, found[name], "%s of %s", name, topic.name)
			}
			var details kadm.TopicDetails
			details, err = b.admin.ListTopics(t.Context(), topic.name)
			require.NoError(t, err)
			assert.Len(t, details[topic.name].Partitions, 3)
		}
	})
}

func TestBrokerFaults(t *testing.T) {
	for offsets, want := range map[string]string{"1": "auto.create.topics.enable offsets.topic.replication.factor ",
		"3": "auto.create.topics.enable "} {
		b := fake(t, kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"offsets.topic.replication.factor": offsets,
			"auto.create.topics.enable": "true"}))
		faults, err := kafka.BrokerFaults(t.Context(), b.Kafka)
		require.NoError(t, err)
		found := ""
		for _, f := range faults {
			found += f.Setting + " "
		}
		assert.Equal(t, want, found)
	}
}
