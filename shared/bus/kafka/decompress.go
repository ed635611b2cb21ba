package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A few kilobytes on the wire may decompress to gigabytes.
const (
	// maxBatchBytes is how large a batch may be once it is decompressed: twice the largest that a topic of ours takes.
	// Java's producer, librdkafka and franz-go hold a batch to their limit before they compress it; kafkajs does not.
	maxBatchBytes = 2 * deadLetterMaxBytes
	// maxUnpolledBytes is how much a client decompresses before it is polled again. What it has left is fetched again.
	maxUnpolledBytes = 16 << 20
	recordOverhead   = 256 // about what the client allocates for a record beside its bytes
)

// errUnpolled means that enough was decompressed for now. The client then fetches the batch once more.
var errUnpolled = errors.New("enough is decompressed already")

// decompressor bounds what a consuming client decompresses, by batch and in all. It is a hook of that client, too.
type decompressor struct {
	kgo.Decompressor
	unpolled atomic.Int64
}

var (
	_ kgo.HookFetchBatchRead = (*decompressor)(nil)
	_ kgo.HookPollStart      = (*decompressor)(nil)
)

// boundedDecompressor is the client's own decompressor with our bound: only a client's options apply one to it.
var boundedDecompressor = sync.OnceValue(func() kgo.Decompressor {
	client, err := kgo.NewClient(kgo.MaxDecompressBatchBytes(maxBatchBytes))
	if err != nil {
		panic(err) // it dials nothing, and the option is valid
	}
	defer client.Close()
	return client.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
})

func boundDecompression() []kgo.Opt {
	d := &decompressor{Decompressor: boundedDecompressor()}
	return []kgo.Opt{kgo.WithDecompressor(d), kgo.WithHooks(d)}
}

// Decompress treats every failure as a batch that is too large. Its checksum is right by then, so no further try would
// decompress it, and [kgo.ErrDecompressTooLarge] is the error that says where it ends.
func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec != kgo.CodecNone && d.unpolled.Load() > maxUnpolledBytes {
		return nil, errUnpolled
	}
	out, err := d.Decompressor.Decompress(src, codec)
	if err != nil && !errors.Is(err, kgo.ErrMaxDecompress) {
		err = fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, err)
	}
	return out, err
}

func (d *decompressor) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, batch kgo.FetchBatchMetrics) {
	if batch.CompressionType != 0 {
		d.unpolled.Add(int64(batch.UncompressedBytes + batch.NumRecords*recordOverhead))
	}
}

func (d *decompressor) OnPollStart(context.Context) { d.unpolled.Store(0) }

// unreadableRecord stands for a batch that cannot be decompressed, at its last offset.
func unreadableRecord(batch *kgo.ErrDecompressTooLarge) bus.Record {
	return bus.Record{
		Topic: batch.Topic, Partition: batch.Partition, Offset: batch.NextOffset - 1, LeaderEpoch: batch.Epoch,
		Unreadable: fmt.Errorf("the batch of offsets %d to %d cannot be decompressed, or not within %d bytes",
			batch.Offset, batch.NextOffset-1, maxBatchBytes),
	}
}
