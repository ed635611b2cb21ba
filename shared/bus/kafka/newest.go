package kafka

import (
	"context"
	"slices"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lettersRead is how many dead letters of a partition are looked at, from its end.
const lettersRead = 200

// DeadLetterCount says how many dead letters a topic holds, and of what class the newest are.
type DeadLetterCount struct {
	All     int64
	Newest  int               // so many were looked at
	Classes map[bus.Class]int // of those; what is no letter of ours is "other"
}

var classes = []bus.Class{bus.Undecodable, bus.Refused, bus.Conflicting, bus.Exhausted, bus.Panicked, bus.Expired, bus.TooLarge}

// CountDeadLetters counts dead letters by topic; a topic that is missing is left out. When ctx ends it tells what it has read by then.
func CountDeadLetters(ctx context.Context, cluster settings.Kafka, topics ...string) (map[string]DeadLetterCount, error) {
	return withClient(cluster, func(client *kgo.Client) (map[string]DeadLetterCount, error) {
		admin := kadm.NewClient(client)
		starts, err := ends(ctx, admin.ListStartOffsets, topics)
		if err != nil {
			return nil, err
		}
		ends, err := ends(ctx, admin.ListEndOffsets, topics)
		if err != nil {
			return nil, err
		}
		counts, from, until := map[string]DeadLetterCount{}, map[string]map[int32]kgo.Offset{}, map[string]map[int32]int64{}
		for topic, partitions := range ends {
			c := DeadLetterCount{Classes: map[bus.Class]int{}}
			from[topic], until[topic] = map[int32]kgo.Offset{}, map[int32]int64{}
			for partition, end := range partitions {
				start := starts[topic][partition].Offset
				c.All += end.Offset - start
				if start < end.Offset {
					from[topic][partition] = kgo.NewOffset().At(max(start, end.Offset-lettersRead))
					until[topic][partition] = end.Offset
				}
			}
			counts[topic] = c
		}
		return counts, readUntil(ctx, client, from, until, func(r *kgo.Record) {
			c := counts[r.Topic]
			c.Newest++
			c.Classes[classIn(r)]++
			counts[r.Topic] = c
		})
	})
}

// classIn is the class of a letter. Its own headers stand behind those of the record that was rejected.
func classIn(r *kgo.Record) bus.Class {
	for _, h := range slices.Backward(r.Headers) {
		if class := bus.Class(h.Value); h.Key == bus.HeaderClass && slices.Contains(classes, class) {
			return class
		}
	}
	return "other"
}

// readUntil shows the records from there on, and ends before until in each partition or when ctx is done, which is no error:
// what was read is true.
func readUntil(ctx context.Context, client *kgo.Client, from map[string]map[int32]kgo.Offset, until map[string]map[int32]int64, show func(*kgo.Record)) error {
	left := 0
	for _, partitions := range until {
		left += len(partitions)
	}
	client.AddConsumePartitions(from)
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // said above
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			end, wanted := until[r.Topic][r.Partition]
			if !wanted {
				continue
			}
			if r.Offset < end {
				show(r)
			}
			if r.Offset+1 >= end {
				delete(until[r.Topic], r.Partition)
				left--
			}
		}
	}
	return nil
}
