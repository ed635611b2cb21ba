package kafka_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// codecs are those of Kafka, by the number that a batch has for them.
var codecs = map[int16]string{1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

// bomb is a batch of one record whose value is n zeros.
func bomb(t *testing.T, codec int16, n int) []byte { return batch(codec, pack(t, codec, n)) }

func pack(t *testing.T, codec int16, n int) []byte {
	head := kbin.AppendVarint([]byte{0, 0, 0, 1}, int32(n)) // attributes, timestamp, offset, no key
	head = append(kbin.AppendVarint(nil, int32(len(head)+n+1)), head...)
	raw := make([]byte, len(head)+n+1) // no headers
	copy(raw, head)
	compressor, err := kgo.DefaultCompressor([]kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(),
		kgo.Lz4Compression(), kgo.ZstdCompression()}[codec-1])
	require.NoError(t, err)
	packed, _ := compressor.Compress(&bytes.Buffer{}, raw)
	return packed
}

// batch is a batch of one record that is compressed already.
func batch(codec int16, packed []byte) []byte {
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{Length: int32(49 + len(packed)), Magic: 2, Attributes: codec, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: packed}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// writeRaw writes a batch to partition 0.
func (b *broker) writeRaw(batch []byte) {
	b.t.Helper()
	topics, err := b.admin.ListTopics(b.t.Context(), b.topic)
	require.NoError(b.t, err)
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = batch
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID = b.topic, topics[b.topic].ID
	topic.Partitions = append(topic.Partitions, partition)
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 60_000
	request.Topics = append(request.Topics, topic)
	response, err := b.client.Broker(int(topics[b.topic].Partitions[0].Leader)).Request(b.t.Context(), request)
	require.NoError(b.t, err)
	require.NoError(b.t, kerr.ErrorForCode(response.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode))
}

const mebi = 1 << 20

// allocated returns all bytes allocated so far, freed or not: most of a bomb would be freed before it can be measured.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Not parallel: it measures what the process allocates.
func TestDecompressionTakesBoundedMemory(t *testing.T) {
	for codec, name := range codecs {
		packed := pack(t, codec, 64*mebi)
		before := allocated()
		_, err := kafka.Decompress(packed, kgo.CompressionCodecType(codec))
		assert.Error(t, err, name)
		assert.Less(t, allocated()-before, uint64(64*mebi), name)
	}
}

// Batches of a few kilobytes that decompress to far more become dead letters, and the event after them is handled.
func TestBatchesThatDecompressToTooMuch(t *testing.T) {
	t.Parallel()
	for codec, name := range codecs {
		for _, on := range []string{"kfake", "kafka"} {
			t.Run(name+"/"+on, func(t *testing.T) {
				t.Parallel()
				b := onBroker(t, on)
				b.create(1)
				b.write(moved(0, "a", 1))
				b.writeRaw(bomb(t, codec, 16*mebi))
				bad := 1
				if on == "kfake" { // Kafka itself refuses it
					b.writeRaw(batch(codec, []byte("not compressed at all, whatever the batch says")))
					bad++
				}
				b.write(moved(0, "a", 2))
				d := newDiary(t)
				w := b.consume(kafka.Options{}, d.handler)
				d.waitFor(map[string]int{"a": 2})
				require.NoError(t, w.end())
				assert.EqualValues(t, bad+2, b.committed(0))
				b.commit(int64(bad), -1) // the batch before the last event
				assert.EqualValues(t, 2, b.groupState().Lag)
				for i, deadLetter := range b.read(bus.DeadLetterTopic(b.topic), bad) {
					parsed, ok := bus.ParseDeadLetter(record(deadLetter))
					assert.True(t, ok)
					assert.Equal(t, bus.TooLarge, parsed.Class)
					assert.Equal(t, b.group, parsed.Consumer)
					assert.Equal(t, []any{b.topic, int64(i + 1)}, []any{parsed.Record.Topic, parsed.Record.Offset})
					assert.Nil(t, deadLetter.Value)
				}
				var shown string
				require.NoError(t, kafka.Tail(t.Context(), b.Kafka, b.topic, kafka.TailOptions{From: &kafka.Point{}},
					func(r bus.Record) error {
						text := string(r.Key)
						if r.Unreadable != nil {
							text = r.Unreadable.Error()
						}
						shown += text[:1]
						return nil
					}))
				assert.Equal(t, "a"+strings.Repeat("t", bad)+"a", shown)
			})
		}
	}
}

// The client reports such a batch once, and drops the report if another partition is moved before the next poll. No partition
// stays behind, in a worker nor in a replay.
func TestBatchesThatDecompressToTooMuchInManyPartitions(t *testing.T) {
	const partitions, each = 6, 3
	b := fake(t, kfake.NumBrokers(3))
	b.create(partitions)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(16*mebi), kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.DefaultProduceTopic(b.topic))
	require.NoError(t, err)
	defer client.Close()
	want := map[string]int{}
	for n := range int32(partitions) {
		for i := range each {
			require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Partition: n, Value: make([]byte, 6*mebi)}).FirstErr())
			b.write(moved(n, fmt.Sprint("key-", n), i+1))
		}
		want[fmt.Sprint("key-", n)] = each
	}
	t.Run("replay", func(t *testing.T) {
		t.Parallel()
		d := newDiary(t)
		require.NoError(t, b.replay(t.Context(), kafka.ReplayOptions{}, d.handler))
		assert.Equal(t, want, d.last)
	})
	t.Run("worker", func(t *testing.T) {
		t.Parallel()
		d := newDiary(t)
		w := b.consume(kafka.Options{}, d.handler)
		d.waitFor(want)
		require.NoError(t, w.end())
	})
}

// Many batches that are each small enough must not fill the memory either. Not parallel: it measures what the process holds,
// with a collector that leaves little garbage in that figure.
func TestManyBatchesThatDecompressToMuch(t *testing.T) {
	percent := debug.SetGCPercent(20)
	defer debug.SetGCPercent(percent)
	b := fake(t)
	b.create(1)
	much := bomb(t, 4, 3*mebi)
	const many = 60
	for range many {
		b.writeRaw(much)
	}
	b.write(moved(0, "a", 1))
	runtime.GC() // what earlier tests have left
	d, m := newDiary(t), &meter{}
	w := b.consume(kafka.Options{DeadLetters: m}, d.handler)
	d.waitFor(map[string]int{"a": 1})
	require.NoError(t, w.end())
	assert.EqualValues(t, many+1, b.committed(0))
	assert.Less(t, m.most, uint64(130*mebi), "%d MiB in all", many*3)
}

// meter measures what the process holds at each dead letter.
type meter struct {
	mu   sync.Mutex
	most uint64
}

func (m *meter) Write(context.Context, bus.DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	m.most = max(m.most, memory.HeapAlloc)
	return nil
}

func record(r *kgo.Record) bus.Record {
	out := bus.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, bus.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
