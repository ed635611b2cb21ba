package kafka

import (
	"context"
	"maps"
	"sync"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Advance notes that the events of a topic from one offset up to another, by partition, are in the read model.
type Advance func(ctx context.Context, topic string, from, to map[int32]int64) error

// BridgeGaps returns advance for the batches of an event source mapping. These have records alone: a batch does not begin where
// the one before it ended if offsets without an event lie between them, such as the marker of a transaction, which a redrive
// leaves, or events that have expired. It then begins at what the model holds, unless the topic has an event between the two.
// held returns what the model holds of a topic; it is called where a batch does not continue the last one of this process.
func BridgeGaps(cluster settings.Kafka, held func(ctx context.Context, topic string) (map[int32]int64, error),
	advance Advance) Advance {
	var mu sync.Mutex
	ends := map[int32]int64{} // of the batches before
	return func(ctx context.Context, topic string, from, to map[int32]int64) error {
		mu.Lock()
		apart := maps.Clone(from)
		maps.DeleteFunc(apart, func(n int32, at int64) bool { return at <= ends[n] })
		mu.Unlock()
		if len(apart) > 0 {
			held, err := held(ctx, topic)
			if err == nil {
				err = bridge(ctx, cluster, topic, apart, held)
			}
			if err != nil {
				return err
			}
			maps.Copy(from, apart)
		}
		if err := advance(ctx, topic, from, to); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for n, end := range to {
			ends[n] = max(ends[n], end)
		}
		return nil
	}
}

// bridge lowers offsets to those that are held if there is no event between the two.
func bridge(ctx context.Context, cluster settings.Kafka, topic string, offsets, held map[int32]int64) error {
	behind := map[int32]int64{}
	for n, at := range offsets {
		if held[n] < at {
			behind[n] = held[n]
		}
	}
	if len(behind) == 0 {
		return nil
	}
	first, err := withClient(cluster, func(client *kgo.Client) (map[int32]int64, error) {
		_, first, _, err := lagFrom(ctx, client, topic, behind)
		return first, err
	})
	for n, at := range first {
		if at >= offsets[n] {
			offsets[n] = behind[n]
		}
	}
	return err
}
