package kafka_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// compressors by the number that a batch's attributes hold.
var compressors = map[int16]func(io.Writer) io.WriteCloser{
	1: func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	2: func(w io.Writer) io.WriteCloser { return &snappy{w: w} },
	3: func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
	4: func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			panic(err)
		}
		return z
	},
}

// snappy writes one block, as raw snappy is.
type snappy struct {
	w   io.Writer
	all bytes.Buffer
}

func (s *snappy) Write(b []byte) (int, error) { return s.all.Write(b) }

func (s *snappy) Close() error {
	_, err := s.w.Write(s2.EncodeSnappy(nil, s.all.Bytes()))
	return err
}

// bomb is a batch of one record whose value is n blanks, made without holding them in memory.
func bomb(t *testing.T, codec int16, blanks int) []byte {
	var packed bytes.Buffer
	w := compressors[codec](&packed)
	head := []byte{0, 0, 0, 1} // attributes, timestamp, offset, no key
	head = kbin.AppendVarint(head, int32(blanks))
	_, err := w.Write(append(kbin.AppendVarint(nil, int32(len(head)+blanks+1)), head...))
	require.NoError(t, err)
	_, err = io.CopyN(struct{ io.Writer }{w}, blank{}, int64(blanks))
	require.NoError(t, err)
	_, err = w.Write([]byte{0}) // no headers
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return batch(codec, packed.Bytes())
}

type blank struct{}

func (blank) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
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

// Batches of a few kilobytes that decompress to far more become dead letters, and the event after them is handled.
// Not parallel: it measures what the process allocates.
func TestBatchesThatDecompressToTooMuch(t *testing.T) {
	for _, c := range []struct {
		name  string
		codec int16
		sizes []int
	}{
		{"gzip", 1, []int{16 * mebi, 64 * mebi}}, {"snappy", 2, []int{8 * mebi, 16 * mebi}}, {"lz4", 3, []int{16 * mebi,
			64 * mebi}},
		{"zstd", 4, []int{64 * mebi, 256 * mebi}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, on := range []string{"kfake", "kafka"} {
				t.Run(on, func(t *testing.T) {
					b := onBroker(t, on)
					sizes := c.sizes
					if on == "kafka" && c.name == "zstd" { // above the client's own limit, too
						sizes = []int{900 * mebi, 1100 * mebi}
					}
					b.create(1)
					b.write(moved(0, "a", 1))
					for _, size := range sizes {
						b.writeRaw(bomb(t, c.codec, size))
					}
					bad := len(sizes)
					if on == "kfake" { // Kafka itself refuses it
						b.writeRaw(batch(c.codec, []byte("not compressed at all, whatever the batch says")))
						bad++
					}
					b.write(moved(0, "a", 2))
					before := allocated()
					d := newDiary(t)
					w := b.consume(kafka.Options{}, d.handler)
					d.waitFor(map[string]int{"a": 2})
					require.NoError(t, w.end())
					assert.Less(t, allocated()-before, uint64(128*mebi))
					assert.EqualValues(t, bad+2, b.committed(0))
					for i, deadLetter := range b.read(bus.DeadLetterTopic(b.topic), bad) {
						source, class, ok := bus.SourceOf(record(deadLetter))
						assert.True(t, ok)
						assert.Equal(t, bus.TooLarge, class)
						assert.Equal(t, bus.DeadLetterSource{Position: bus.Position{Topic: b.topic, Offset: int64(i + 1)},
							Consumer: b.group}, source)
						assert.Nil(t, deadLetter.Value)
					}

					b.write(moved(0, "a", 3)) // after a restart
					w = b.consume(kafka.Options{}, d.handler)
					d.waitFor(map[string]int{"a": 3})
					require.NoError(t, w.end())
					assert.Zero(t, d.repeats)

					var shown []string
					require.NoError(t, kafka.Tail(t.Context(), b.Kafka, b.topic, kafka.TailOptions{FromStart: true},
						func(r bus.Record) error {
							text := string(r.Key)
							if r.Unreadable != nil {
								text = r.Unreadable.Error()
							}
							shown = append(shown, text[:1])
							return nil
						}))
					assert.Equal(t, "a"+strings.Repeat("t", bad)+"aa", strings.Join(shown, ""))
				})
			}
		})
	}
}

// Many batches that are each small enough must not fill the memory either. Not parallel: it measures what the process holds,
// with a collector that leaves little garbage in that figure.
func TestManyBatchesThatDecompressToMuch(t *testing.T) {
	percent := debug.SetGCPercent(20)
	defer debug.SetGCPercent(percent)
	b := fake(t)
	b.create(1)
	much := bomb(t, 4, 3*mebi)
	const many = 100
	for range many {
		b.writeRaw(much)
	}
	b.write(moved(0, "a", 1))
	started, most := make(chan struct{}), uint64(0)
	stop := make(chan struct{})
	go func() {
		defer close(started)
		for tick := time.Tick(20 * time.Millisecond); ; {
			select {
			case <-tick:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			case <-stop:
				return
			}
		}
	}()
	d := newDiary(t)
	w := b.consume(kafka.Options{DeadLetters: nowhere{}}, d.handler)
	d.waitFor(map[string]int{"a": 1})
	require.NoError(t, w.end())
	close(stop)
	<-started
	assert.EqualValues(t, many+1, b.committed(0))
	t.Log("at most", most/mebi, "MiB")
	assert.Less(t, most, uint64(200*mebi), "%d MiB in all", many*3)
}

type nowhere struct{}

func (nowhere) Write(context.Context, bus.DeadLetter) error { return nil }

func record(r *kgo.Record) bus.Record {
	out := bus.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, bus.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
