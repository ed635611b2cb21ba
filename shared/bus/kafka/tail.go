package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TailOptions says which records [Tail] shows.
type TailOptions struct {
	FromStart bool // from the earliest record; otherwise from the end
	Follow    bool // go on for ever; otherwise end at the records that were there at the start
	Logger    *slog.Logger
}

// tailTimeout is how long Tail waits for the brokers' first answer.
const tailTimeout = 10 * time.Second

// Tail reads a topic's records without a consumer group and gives each to show, until ctx is done or show returns an
// error, which it returns. Records come in order within a partition. A topic that is not there is NotFound.
func Tail(ctx context.Context, cluster settings.Kafka, topic string, o TailOptions, show func(bus.Record) error) error {
	client, err := newClient(cluster, o.Logger, kgo.KeepControlRecords()) // a transaction's marker may be the last record
	if err != nil {
		return err
	}
	defer client.Close()
	starts, ends, err := bounds(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return err
	}
	from, until := map[int32]kgo.Offset{}, map[int32]int64{}
	for partition, end := range ends {
		start := end
		if o.FromStart {
			start = starts[partition]
		}
		from[partition] = kgo.NewOffset().At(start)
		if start < end {
			until[partition] = end
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for o.Follow || len(until) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for r := range fetches.RecordsAll() {
			if end := ends[r.Partition]; !r.Attrs.IsControl() && (o.Follow || r.Offset < end) {
				if err := show(fromKgo([]*kgo.Record{r})[0]); err != nil {
					return err
				}
			}
			if r.Offset+1 >= until[r.Partition] {
				delete(until, r.Partition)
			}
		}
	}
	return nil
}

// bounds are the first offset and the one behind the last, by partition.
func bounds(ctx context.Context, admin *kadm.Client, topic string) (starts, ends map[int32]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	listed := make([]map[int32]int64, 2)
	for i, list := range []func(context.Context, ...string) (kadm.ListedOffsets, error){admin.ListStartOffsets, admin.ListEndOffsets} {
		offsets, err := list(ctx, topic)
		if err == nil {
			err = offsets.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil, nil, events.Errorf(events.NotFound, "there is no topic %s", topic)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("the brokers do not say what is on %s (do they run? is the address right?): %w", topic, err)
		}
		listed[i] = map[int32]int64{}
		offsets.Each(func(o kadm.ListedOffset) { listed[i][o.Partition] = o.Offset })
	}
	return listed[0], listed[1], nil
}
