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
	Follow     bool    // go on until ctx is done; otherwise end at the records that were there at the start
	Logger     *slog.Logger
}

// Tail reads a topic's records without a consumer group and calls show with each, until ctx is done or show returns an
// error, which it returns. Records come in order within a partition. A batch that cannot be decompressed comes as one
// unreadable record. A topic or partition that does not exist is NotFound.
func Tail(ctx context.Context, cluster settings.Kafka, topic string, o TailOptions, show func(bus.Record) error) error {
	client, err := newClient(cluster, o.Logger, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	from, ends, err := o.bounds(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return err
	}
	return read(ctx, client, topic, from, ends, o.Follow, show)
}

// bounds are where to begin and where to end, by partition.
func (o TailOptions) bounds(ctx context.Context, admin *kadm.Client, topic string) (from, ends map[int32]int64, err error) {
	from, ends, err = bounds(ctx, admin, topic)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range o.Partitions {
		if _, ok := ends[n]; !ok {
			return nil, nil, events.Errorf(events.NotFound, "topic %s has no partition %d: its partitions are 0 to %d", topic,
				n, len(ends)-1)
		}
	}
	if o.Partitions != nil {
		maps.DeleteFunc(ends, func(n int32, _ int64) bool { return !slices.Contains(o.Partitions, n) })
	}
	since := map[int32]int64{}
	if !o.Since.IsZero() {
		ctx, cancel := context.WithTimeout(ctx, boundsTimeout)
		defer cancel()
		listed, err := admin.ListOffsetsAfterMilli(ctx, o.Since.UnixMilli(), topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list the offsets of %s since %s: %w", topic, o.Since.Format(time.RFC3339), err)
		}
		listed.Each(func(l kadm.ListedOffset) { since[l.Partition] = l.Offset })
	}
	start := maps.Clone(ends)
	for n := range start {
		switch {
		case o.HasOffset:
			start[n] = max(o.Offset, from[n])
		case !o.Since.IsZero():
			start[n] = since[n]
		case o.FromStart:
			start[n] = from[n]
		}
	}
	return start, ends, nil
}

// idle is how long a poll may bring nothing before read looks whether anything is left.
const idle = 500 * time.Millisecond

// read calls show with the records of a topic from there on, by partition. Unless it follows, it ends before until. The client
// must read committed records only, and nothing yet.
func read(
	ctx context.Context, client *kgo.Client, topic string, from, until map[int32]int64, follow bool, show func(bus.Record) error,
) error {
	offsets, left := map[int32]kgo.Offset{}, map[int32]int64{} // left is the next offset to read
	for n, at := range from {
		if follow || at < until[n] {
			offsets[n], left[n] = kgo.NewOffset().At(at), at
		}
	}
	done := func() bool {
		maps.DeleteFunc(left, func(n int32, at int64) bool { return at >= until[n] })
		return len(left) == 0
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	for follow || !done() {
		polling, stop := context.WithTimeout(ctx, idle)
		fetches := client.PollFetches(polling)
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for r := range fetches.RecordsAll() {
			if follow || r.Offset < until[r.Partition] {
				if err := show(fromKgo([]*kgo.Record{r})[0]); err != nil {
					return err
				}
			}
			left[r.Partition] = r.Offset + 1
		}
		for _, e := range fetches.Errors() {
			tooLarge := (*kgo.ErrDecompressTooLarge)(nil)
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded) && !follow: // the remaining offsets may hold no records
				rest, err := backlogs(ctx, client, topic, left)
				if err != nil {
					return err
				}
				maps.DeleteFunc(left, func(n int32, _ int64) bool { return rest[n].events == 0 })
			case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, errUnpolled):
			case errors.As(e.Err, &tooLarge):
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
	return nil
}

// boundsTimeout is how long the brokers may take to say what a topic holds.
const boundsTimeout = 10 * time.Second

// bounds are the first offset and the one behind the last that is committed, by partition.
func bounds(ctx context.Context, admin *kadm.Client, topic string) (starts, ends map[int32]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, boundsTimeout)
	defer cancel()
	listed := make([]map[int32]int64, 2)
	for i, list := range []func(context.Context, ...string) (kadm.ListedOffsets, error){admin.ListStartOffsets,
		admin.ListCommittedOffsets} {
		offsets, err := list(ctx, topic)
		if err == nil {
			err = offsets.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil, nil, events.Errorf(events.NotFound, "there is no topic %s", topic)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("the brokers do not say what is on %s (do they run? is the address right?): %w",
				topic, err)
		}
		listed[i] = map[int32]int64{}
		offsets.Each(func(o kadm.ListedOffset) { listed[i][o.Partition] = o.Offset })
	}
	return listed[0], listed[1], nil
}
