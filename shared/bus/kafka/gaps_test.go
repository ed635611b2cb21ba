package kafka_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A position that compaction has emptied lies within a batch whose remaining records are all before it.
func TestCompactedGapsAreSkipped(t *testing.T) {
	onBrokers(t, func(t *testing.T, b *broker) {
		_, err := kafka.MakeTopics(t.Context(), b.Kafka, kafka.Topic{Name: b.topic, Partitions: 1, Config: map[string]string{
			"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100",
		}})
		require.NoError(t, err)
		// A fetch takes 1 MiB: the first batch, and of the second only a part.
		padded := func(key, id string, n, size int) *kgo.Record {
			r := moved(0, id, n)
			r.Key, r.Value = []byte(key), append(r.Value, strings.Repeat(" ", size)...)
			return r
		}
		var first, second []*kgo.Record
		for k := range 10 {
			size := 0
			if k < 5 {
				size = 150 << 10
			}
			first = append(first, padded(fmt.Sprint(k), fmt.Sprint("old", k), 1, size))
		}
		for k := 5; k < 10; k++ {
			second = append(second, padded(fmt.Sprint(k), fmt.Sprint("new", k), 1, 100<<10))
		}
		b.write(first...)
		b.write(second...)
		last := 0
		compacted := func() bool {
			last++
			b.write(padded("last", "last", last, 0)) // begins a segment
			if b.fake != nil {
				b.fake.Compact()
			} else {
				time.Sleep(time.Second)
			}
			return !slices.ContainsFunc(b.read(b.topic, 6), func(r *kgo.Record) bool { return 5 <= r.Offset && r.Offset < 10 })
		}
		require.Eventually(t, compacted, 2*waitTimeout, time.Millisecond)
		if b.fake != nil {
			b.fetchGapAsKafka(5, 10)
		}
		b.commit(7, -1)
		d := newDiary(t)
		d.last["last"] = last - 1
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(map[string]int{"last": last})
		eventually(t, func() bool {
			lag, err := w.Lag(t.Context())
			return err == nil && lag[0] == 0 && b.committed(0) == int64(15+last)
		})
		s := w.Status()
		assert.True(t, s.Healthy(), "%+v", s)
		require.NoError(t, w.end())
		for k := 5; k < 10; k++ {
			assert.Contains(t, d.done, fmt.Sprintf("new%d-1", k))
		}
		assert.Empty(t, slices.DeleteFunc(d.done, func(s string) bool { return !strings.HasPrefix(s, "old") }))
	})
}

// fetchGapAsKafka answers fetches within a gap behind the first batch with that batch alone. Kafka's compaction keeps the last
// offset of a batch, so that the gap belongs to it; kfake's does not.
func (b *broker) fetchGapAsKafka(from, to int64) {
	log := b.fetch()
	first := &log.Topics[0].Partitions[0].RecordBatches
	*first = (*first)[:12+binary.BigEndian.Uint32((*first)[8:])]
	binary.BigEndian.PutUint32((*first)[23:], uint32(to-1)) // the last offset, as the first is 0
	binary.BigEndian.PutUint32((*first)[17:], crc32.Checksum((*first)[21:], crc32.MakeTable(crc32.Castagnoli)))
	b.answerFetches(func(at int64) bool { return from <= at && at < to }, log)
}

// answerFetches answers the fetches from some offsets of partition 0 with a response.
func (b *broker) answerFetches(from func(int64) bool, with *kmsg.FetchResponse) {
	b.fake.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.fake.KeepControl()
		if asked := request.(*kmsg.FetchRequest).Topics; len(asked) == 0 || !from(asked[0].Partitions[0].FetchOffset) {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.FetchResponse)
		response.Topics = with.Topics
		return response, nil, true
	})
}

// onCluster runs a test on a kfake of three brokers, and on the Kafka of several brokers at KAFKA_CLUSTER_BROKERS if that is set.
func onCluster(t *testing.T, test func(t *testing.T, b *broker)) {
	t.Parallel()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		test(t, fake(t, kfake.NumBrokers(3)))
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		test(t, connectTo(t, "KAFKA_CLUSTER_BROKERS", os.Getenv("KAFKA_CLUSTER_BROKERS")))
	})
}

// moveLeader makes another broker the leader of partition 0.
func (b *broker) moveLeader() {
	b.t.Helper()
	topics, err := b.admin.ListTopics(b.t.Context(), b.topic)
	require.NoError(b.t, err)
	p := topics[b.topic].Partitions[0]
	if b.fake != nil {
		require.NoError(b.t, b.fake.MoveTopicPartition(b.topic, 0, (p.Leader+1)%3))
		return
	}
	replicas := slices.Concat(p.Replicas[1:], p.Replicas[:1]) // the first is preferred as the leader
	var move kmsg.AlterPartitionAssignmentsRequest
	move.Default()
	move.TimeoutMillis = int32(waitTimeout.Milliseconds())
	move.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: b.topic,
		Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: replicas}}}}
	moved, err := move.RequestWith(b.t.Context(), b.client)
	require.NoError(b.t, err)
	require.NoError(b.t, kerr.ErrorForCode(moved.ErrorCode))
	eventually(b.t, func() bool {
		elect := kmsg.NewPtrElectLeadersRequest()
		elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: b.topic, Partitions: []int32{0}}}
		_, err := elect.RequestWith(b.t.Context(), b.client)
		require.NoError(b.t, err)
		topics, err := b.admin.ListTopics(b.t.Context(), b.topic)
		return err == nil && topics[b.topic].Partitions[0].Leader == replicas[0]
	})
}

// A leader that changes between the records of a transaction and its end, and again after it, is no loss of data, and no
// record of an aborted transaction is handled.
func TestLeadersThatChangeWithinTransactions(t *testing.T) {
	onCluster(t, func(t *testing.T, b *broker) {
		const transactions = 4
		b.create(1)
		l := &lines{}
		d := newDiary(t)
		w := b.consume(kafka.Options{Logger: l.logger()}, d.handler)
		w.waitFor(1)
		client, _ := b.transactional(kgo.MetadataMinAge(100 * time.Millisecond))
		var want []string
		for n := 1; n <= transactions; n++ {
			id, end := "committed", kgo.TryCommit
			if n%2 == 0 {
				id, end = "aborted", kgo.TryAbort
			} else {
				want = append(want, fmt.Sprintf("committed-%d", n/2+1))
			}
			require.NoError(t, client.BeginTransaction())
			require.NoError(t, client.ProduceSync(t.Context(), moved(0, id, n/2+n%2)).FirstErr())
			b.moveLeader()
			require.NoError(t, client.EndTransaction(t.Context(), end))
			d.waitFor(map[string]int{"committed": (n + 1) / 2})
			b.moveLeader()
		}
		b.write(moved(0, "after", 1))
		d.waitFor(map[string]int{"after": 1})
		eventually(t, func() bool { lag, err := w.Lag(t.Context()); return err == nil && lag[0] == 0 })
		s := w.Status()
		assert.True(t, s.Healthy(), "%+v", s)
		assert.Empty(t, b.groupState().Lost)
		require.NoError(t, w.end())
		assert.Equal(t, append(want, "after-1"), d.done)
		assert.Zero(t, l.count("level=ERROR"), "a false alarm")
	})
}

// fetch fetches partition 0 from its start, as a consumer that reads what is committed.
func (b *broker) fetch() *kmsg.FetchResponse {
	b.t.Helper()
	topics, err := b.admin.ListTopics(b.t.Context(), b.topic)
	require.NoError(b.t, err)
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.PartitionMaxBytes = mebi
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = b.topic, topics[b.topic].ID, append(topic.Partitions, partition)
	request := kmsg.NewPtrFetchRequest()
	request.IsolationLevel, request.MaxBytes, request.Topics = 1, mebi, append(request.Topics, topic)
	response, err := b.client.Broker(int(topics[b.topic].Partitions[0].Leader)).Request(b.t.Context(), request)
	require.NoError(b.t, err)
	return response.(*kmsg.FetchResponse)
}

// Redpanda lists the aborted transactions of a producer in any order.
func TestAbortedTransactionsInAnyOrder(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	_, write := b.transactional()
	for _, id := range []string{"aborted", "a", "aborted"} {
		write(id == "a", moved(0, id, 1))
	}
	log := b.fetch()
	aborted := log.Topics[0].Partitions[0].AbortedTransactions
	require.Len(t, aborted, 2)
	slices.Reverse(aborted)
	b.answerFetches(func(at int64) bool { return at == 0 }, log)
	d := newDiary(t)
	w := b.consume(kafka.Options{}, d.handler)
	d.waitFor(map[string]int{"a": 1})
	require.NoError(t, w.end())
	assert.Equal(t, []string{"a-1"}, d.done)
}
