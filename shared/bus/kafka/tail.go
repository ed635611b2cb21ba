package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TailOptions selects the records that [Tail] shows. The later of FromStart, Since and Offset in this order counts.
type TailOptions struct {
	FromStart  bool      // from the earliest record; otherwise from the end
	Since      time.Time // from the first record that was written then or later
	Offset     int64     // from this offset on, where HasOffset
	HasOffset  bool
	Partitions []int32 // only these; nil = all
	Follow     bool    // go on until ctx is done; otherwise end once the records that were there at the start are shown
	Logger     *slog.Logger
}

// Tail reads a topic's records without a consumer group and calls show with each, until ctx is done or show returns an
// error, which it returns. Records come in order within a partition. A batch that cannot be decompressed comes as one
// unreadable record. A topic or partition that does not exist is NotFound.
func Tail(ctx context.Context, cluster settings.Kafka, topic string, o TailOptions, show func(bus.Record) error) error {
	client, err := newReader(cluster, o.Logger)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	from, ends, err := bounds(ctx, admin, topic)
	if err != nil {
		return err
	}
	for _, n := range o.Partitions {
		if _, ok := ends[n]; !ok {
			return events.Errorf(events.NotFound, "topic %s has no partition %d: its partitions are 0 to %d", topic, n, len(ends)-1)
		}
	}
	var since map[int32]int64
	if !o.Since.IsZero() {
		since, err = offsets(ctx, topic, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return admin.ListOffsetsAfterMilli(ctx, o.Since.UnixMilli(), topics...)
		})
		if err != nil {
			return err
		}
	}
	for n, end := range ends {
		switch {
		case o.Partitions != nil && !slices.Contains(o.Partitions, n):
			delete(from, n)
		case o.HasOffset:
			from[n] = min(max(o.Offset, from[n]), end)
		case since != nil:
			from[n] = since[n]
		case !o.FromStart:
			from[n] = end
		}
	}
	return read(ctx, client, topic, from, ends, func(done bool) (bool, error) { return o.Follow || !done, nil }, show)
}

// newReader makes a client for [read].
func newReader(cluster settings.Kafka, logger *slog.Logger) (*kgo.Client, error) {
	return newClient(cluster, logger, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond))
}

// read calls show with the records of a topic from there on, by partition. After each poll it calls next, with whether all are
// shown before until; next says whether to go on. The client is one of newReader.
func read(
	ctx context.Context, client *kgo.Client, topic string, from, until map[int32]int64, next func(done bool) (more bool, err error),
	show func(bus.Record) error,
) error {
	start, left := map[int32]kgo.Offset{}, maps.Clone(from) // left is the next offset to read
	for n, at := range from {
		start[n] = kgo.NewOffset().At(at)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: start})
	for {
		maps.DeleteFunc(left, func(n int32, at int64) bool { return at >= until[n] })
		if more, err := next(len(left) == 0); err != nil || !more {
			return err
		}
		polling, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		fetches := client.PollFetches(polling)
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for r := range fetches.RecordsAll() {
			if err := show(fromKgo([]*kgo.Record{r})[0]); err != nil {
				return err
			}
			left[r.Partition] = r.Offset + 1
		}
		for _, e := range fetches.Errors() {
			tooLarge, _ := errors.AsType[*kgo.ErrDecompressTooLarge](e.Err)
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded): // the remaining offsets may hold no records
				rest, err := backlogs(ctx, client, topic, left)
				if err != nil {
					return err
				}
				maps.DeleteFunc(left, func(n int32, _ int64) bool { return rest[n].events == 0 })
			case errors.Is(e.Err, errUnpolled):
			case tooLarge != nil:
				if err := show(unreadableRecord(tooLarge)); err != nil {
					return err
				}
				left[e.Partition] = tooLarge.NextOffset
				client.SetOffsets(map[string]map[int32]kgo.EpochOffset{
					topic: {e.Partition: {Epoch: tooLarge.Epoch, Offset: tooLarge.NextOffset}},
				})
			default:
				return fmt.Errorf("read %s/%d: %w", topic, e.Partition, e.Err)
			}
		}
	}
}

// bounds are the first offset and the one behind the last that is committed, by partition.
func bounds(ctx context.Context, admin *kadm.Client, topic string) (starts, ends map[int32]int64, err error) {
	if starts, err = offsets(ctx, topic, admin.ListStartOffsets); err != nil {
		return nil, nil, err
	}
	ends, err = offsets(ctx, topic, admin.ListCommittedOffsets)
	return starts, ends, err
}

// offsets lists offsets of a topic by partition, within 10 s.
func offsets(
	ctx context.Context, topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error),
) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	listed, err := list(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil, events.Errorf(events.NotFound, "there is no topic %s", topic)
	case err != nil:
		return nil, fmt.Errorf("the brokers do not list the offsets of %s (do they run? is the address right?): %w", topic, err)
	}
	found := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { found[o.Partition] = o.Offset })
	return found, nil
}
