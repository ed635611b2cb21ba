package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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

// A client returns these with each fetch of the batch, until the partition is moved behind it. [kgo.ErrDecompressTooLarge] it
// returns once, and never again if another partition moves before that is polled.
var (
	errUnpolled       = errors.New("enough is decompressed already")           // for now
	errUndecompressed = errors.New("a batch cannot be decompressed in bounds") // see unreadableBatch
)

// decompressor bounds what a consuming client decompresses, by batch and in all. It is a hook of that client, too.
type decompressor struct{ unpolled atomic.Int64 }

var (
	_ kgo.HookFetchBatchRead = (*decompressor)(nil)
	_ kgo.HookPollStart      = (*decompressor)(nil)
)

// bounded decompresses a batch within maxBatchBytes. It treats every failure as a batch that is too large: its checksum is
// right by then, so no further try would decompress it, and [kgo.ErrDecompressTooLarge] says where it ends.
type bounded struct{ kgo.Decompressor }

// boundedDecompressor is the client's own decompressor with our bound: only a client's options apply one to it.
var boundedDecompressor = sync.OnceValue(func() bounded {
	client, _ := kgo.NewClient(kgo.MaxDecompressBatchBytes(maxBatchBytes)) // it dials nothing, and the option is valid
	defer client.Close()
	return bounded{client.OptValue(kgo.WithDecompressor).(kgo.Decompressor)}
})

func (b bounded) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	out, err := b.Decompressor.Decompress(src, codec)
	if err != nil && !errors.Is(err, kgo.ErrMaxDecompress) {
		err = fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, err)
	}
	return out, err
}

func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec != kgo.CodecNone && d.unpolled.Load() > maxUnpolledBytes {
		return nil, errUnpolled
	}
	out, err := boundedDecompressor().Decompress(src, codec)
	if err != nil {
		return nil, errUndecompressed
	}
	return out, nil
}

func (d *decompressor) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, batch kgo.FetchBatchMetrics) {
	if batch.CompressionType != 0 {
		d.unpolled.Add(int64(batch.UncompressedBytes + batch.NumRecords*recordOverhead))
	}
}

func (d *decompressor) OnPollStart(context.Context) { d.unpolled.Store(0) }

// unreadableBatch is the batch that cannot be decompressed and is the first of a partition from an offset on; nil = there is
// none. It is fetched once more, because [errUndecompressed] does not say where it ends.
func unreadableBatch(ctx context.Context, client *kgo.Client, topic string, n int32, from int64) (
	*kgo.ErrDecompressTooLarge, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	described, starts, ends, err := describe(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	fetched, err := fetchFrom(ctx, client, described, n, max(from, starts[n]), ends[n])
	if batch, ok := errors.AsType[*kgo.ErrDecompressTooLarge](fetched.Err); ok {
		return batch, nil
	}
	return nil, cmp.Or(err, fetched.Err)
}

// unreadableRecord stands for a batch that cannot be decompressed, at its last offset.
func unreadableRecord(batch *kgo.ErrDecompressTooLarge) bus.Record {
	return bus.Record{
		Topic: batch.Topic, Partition: batch.Partition, Offset: batch.NextOffset - 1, LeaderEpoch: batch.Epoch,
		Unreadable: fmt.Errorf("the batch of offsets %d to %d cannot be decompressed, or not within %d bytes",
			batch.Offset, batch.NextOffset-1, maxBatchBytes),
	}
}
