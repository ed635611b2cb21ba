package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TailOptions selects the records that [Tail] shows.
type TailOptions struct {
	From       *Point  // nil = the end
	Partitions []int32 // only these; nil = all
	Follow     bool    // go on until ctx is done; otherwise end once the records that were there at the start are shown
	Logger     *slog.Logger
}

// Point is a place in a topic. The zero value is its beginning.
type Point struct {
	Offset int64
	Time   time.Time // if set, that of the first record that was written then or later
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
	from, ends, err := find(ctx, kadm.NewClient(client), topic, cmp.Or(o.From, &Point{Offset: math.MaxInt64}))
	if err != nil {
		return err
	}
	for _, n := range o.Partitions {
		if _, ok := ends[n]; !ok {
			return events.Errorf(events.NotFound, "topic %s has no partition %d: its partitions are 0 to %d", topic, n, len(ends)-1)
		}
	}
	maps.DeleteFunc(from, func(n int32, _ int64) bool { return o.Partitions != nil && !slices.Contains(o.Partitions, n) })
	return read(ctx, client, topic, from, ends, func(done bool) (bool, error) { return o.Follow || !done, nil }, show)
}

// Offsets returns where a point is, by partition: between the first offset and the end.
func Offsets(ctx context.Context, cluster settings.Kafka, topic string, p Point) (map[int32]int64, error) {
	return withClient(cluster, func(client *kgo.Client) (map[int32]int64, error) {
		at, _, err := find(ctx, kadm.NewClient(client), topic, &p)
		return at, err
	})
}

// find returns where a point and the end of a topic are, by partition.
func find(ctx context.Context, admin *kadm.Client, topic string, p *Point) (at, ends map[int32]int64, err error) {
	at, ends, err = bounds(ctx, admin, topic)
	if err == nil && !p.Time.IsZero() {
		milli := max(p.Time.UnixMilli(), 0) // to brokers, negative numbers are other requests
		at, err = offsets(admin.ListOffsetsAfterMilli(ctx, milli, topic))
	}
	for n, first := range at {
		at[n] = min(max(p.Offset, first), ends[n])
	}
	return at, ends, err
}

// ReadTopic calls show with the committed records of a topic: from the offsets from, or the beginning, to before the offsets
// until, or the end of now, by partition. It returns where it ended. A batch that cannot be decompressed comes as one unreadable
// record. A topic that does not exist is NotFound.
func ReadTopic(ctx context.Context, cluster settings.Kafka, logger *slog.Logger, topic string, from, until map[int32]int64,
	show func(bus.Record) error) (ends map[int32]int64, err error) {
	client, err := newReader(cluster, logger)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	starts, ends, err := bounds(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return nil, err
	}
	for n, end := range ends {
		if starts[n] = max(starts[n], from[n]); until != nil {
			if until[n] > end {
				return nil, fmt.Errorf("%s/%d ends at %d, before %d: was the topic deleted and created again?", topic, n, end, until[n])
			}
			ends[n] = until[n]
		}
		if starts[n] >= ends[n] {
			delete(starts, n)
		}
	}
	return ends, read(ctx, client, topic, starts, ends, func(done bool) (bool, error) { return !done, nil },
		func(r bus.Record) error {
			if r.Offset >= ends[r.Partition] {
				return nil
			}
			return show(r)
		})
}

// ReplayOptions tune a replay.
type ReplayOptions struct {
	From        map[int32]int64       // where to begin; a partition that is absent begins at the earliest record
	Until       map[int32]int64       // if set, where to end, instead of where the topic ended at the start
	Only        func(bus.Record) bool // if set, which records the consumer gets
	Delivery    bus.Options
	DeadLetters bus.DeadLetters // gets what the consumer rejects
	// Advance is called with what was handled, from one offset up to another by partition, every second and at the end.
	Advance Advance
	// Progress is called as often, with the number of offsets that were handled and the number that there were at the start.
	Progress func(handled, all int64)
	Follow   bool // go on with new records until ctx is done; otherwise end once those that there were at the start are handled
	Logger   *slog.Logger
}

// Replay gives the events of a topic to a consumer, like [Member.Run], but without a consumer group: it commits nothing, and
// other consumers do not notice it. It returns nil when all is handled or, if it continues with new records, when ctx is done.
// Partitions that are added meanwhile are not read.
func Replay(ctx context.Context, cluster settings.Kafka, c bus.Consumer, o ReplayOptions) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o.Delivery.Overrun = stop // a handler ignores its deadline
	client, err := newReader(cluster, o.Logger)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &replay{ReplayOptions: o, topic: c.Topic, partitions: map[int32]*partition{}}
	if r.from, r.ends, err = bounds(ctx, kadm.NewClient(client), r.topic); err != nil {
		return err
	}
	for n, at := range o.From {
		if at > r.ends[n] {
			return fmt.Errorf("%s/%d ends at offset %d, and the read model holds it up to %d: the topic was deleted and created again, "+
				"so build another read model", c.Topic, n, r.ends[n], at)
		}
	}
	engine := bus.NewEngine(c, o.DeadLetters, o.Delivery)
	for n, end := range r.ends {
		if o.Until != nil {
			r.ends[n] = min(end, o.Until[n])
		}
		r.from[n] = min(max(r.from[n], o.From[n]), r.ends[n])
		opened := engine.Open(context.Background(), n, time.Time{}, nil)
		r.partitions[n] = &partition{Partition: opened, start: r.from[n], advanced: o.From[n]}
	}
	err = read(running, client, r.topic, r.from, r.ends, func(done bool) (bool, error) { return r.next(running, done) },
		func(record bus.Record) error {
			if o.Until != nil && record.Offset >= r.ends[record.Partition] || o.Only != nil && !o.Only(record) {
				return nil
			}
			p := r.partitions[record.Partition]
			p.Deliver([]bus.Record{record})
			_, _ = r.next(running, false) // a poll may take long
			return p.WaitForRoom(running)
		})
	if r.caughtUp && errors.Is(err, context.Canceled) {
		err = nil
	}
	err = errors.Join(err, r.close())
	if ctx.Err() == nil && running.Err() != nil {
		return context.Cause(running)
	}
	return err
}

type replay struct {
	ReplayOptions
	topic      string
	from, ends map[int32]int64 // at the start
	partitions map[int32]*partition
	caughtUp   bool
	advanced   time.Time
}

// next is called after each poll and record, with whether the records that there were at the start are delivered.
func (r *replay) next(ctx context.Context, done bool) (more bool, err error) {
	caughtUp := done && !r.caughtUp
	if caughtUp {
		for _, p := range r.partitions {
			if err := p.Wait(ctx); err != nil {
				return false, err
			}
		}
		r.caughtUp = true
	}
	if caughtUp || time.Since(r.advanced) > time.Second {
		if err := r.advance(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Warn("the progress of the read model cannot be stored", "topic", r.topic, "error", err)
		}
	}
	return r.Follow || !r.caughtUp, nil
}

func (r *replay) advance(ctx context.Context) error {
	r.advanced = time.Now()
	from, to := map[int32]int64{}, map[int32]int64{}
	handled, all := int64(0), int64(0)
	for n, p := range r.partitions {
		at, _ := p.done()
		if r.caughtUp { // the last offsets may hold no record
			at = max(at, r.ends[n])
		}
		handled += min(at, r.ends[n]) - r.from[n]
		all += r.ends[n] - r.from[n]
		if at > p.advanced {
			from[n], to[n] = p.advanced, at
		}
	}
	r.Progress(handled, all)
	if len(to) == 0 {
		return nil
	}
	if err := r.Advance(ctx, r.topic, from, to); err != nil {
		return err
	}
	for n, at := range to {
		r.partitions[n].advanced = at
	}
	return nil
}

// close ends the delivery, within 5 s. What it abandons is read again the next time.
func (r *replay) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var closing sync.WaitGroup
	for _, p := range r.partitions {
		closing.Go(func() { _ = p.Close(ctx) })
	}
	closing.Wait()
	return r.advance(ctx)
}

// newReader makes a client for read. It shows the markers of transactions: a topic may end with one, and read with it.
func newReader(cluster settings.Kafka, logger *slog.Logger) (*kgo.Client, error) {
	return NewClient(cluster, logger, kgo.KeepControlRecords())
}

// read calls show with the records of a topic from there on, by partition. After each poll it calls next, with whether all are
// shown before until; next says whether to go on.
func read(ctx context.Context, client *kgo.Client, topic string, from, until map[int32]int64,
	next func(done bool) (more bool, err error), show func(bus.Record) error) error {
	start := map[int32]kgo.Offset{}
	for n, at := range from {
		start[n] = kgo.NewOffset().At(at)
	}
	at, left := maps.Clone(from), maps.Clone(from) // the next offset to read, of all and of those with records before until
	moved := func(n int32, to int64) { at[n], left[n] = to, to }
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
			if !r.Attrs.IsControl() {
				record := fromKgo(r)
				if err := show(*record.Clone()); err != nil {
					return err
				}
			}
			moved(r.Partition, r.Offset+1)
		}
		for _, e := range fetches.Errors() {
			switch {
			case errors.Is(e.Err, errUnpolled), errors.Is(e.Err, context.DeadlineExceeded) && len(left) == 0:
			case errors.Is(e.Err, context.DeadlineExceeded): // the remaining offsets may hold no records
				rest, _, _, err := lagFrom(ctx, client, topic, left)
				if err != nil {
					return err
				}
				maps.DeleteFunc(left, func(n int32, _ int64) bool { return rest[n] == 0 })
			case errors.Is(e.Err, errUndecompressed):
				batch, err := unreadableBatch(ctx, client, topic, e.Partition, at[e.Partition])
				if err != nil {
					return err
				}
				if batch == nil {
					continue // the next fetch returns the same error
				}
				if err := show(unreadableRecord(batch)); err != nil {
					return err
				}
				moved(e.Partition, batch.NextOffset)
				to := kgo.EpochOffset{Epoch: batch.Epoch, Offset: batch.NextOffset}
				client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {e.Partition: to}})
			default:
				return fmt.Errorf("read %s/%d: %w", topic, e.Partition, e.Err)
			}
		}
	}
}

// bounds are the first offset and the one behind the last that is committed, by partition.
func bounds(ctx context.Context, admin *kadm.Client, topic string) (starts, ends map[int32]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if starts, err = offsets(admin.ListStartOffsets(ctx, topic)); err == nil {
			ends, err = offsets(admin.ListCommittedOffsets(ctx, topic))
		}
		if !errors.Is(err, kerr.LeaderNotAvailable) || !pause(ctx, 100*time.Millisecond) { // an election, or a new topic
			break
		}
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		err = events.Errorf(events.NotFound, "there is no topic %s", topic)
	case err != nil:
		err = fmt.Errorf("the brokers do not list the offsets of %s (do they run? is the address right?): %w", topic, err)
	}
	return starts, ends, err
}

func offsets(listed kadm.ListedOffsets, err error) (map[int32]int64, error) {
	found := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { found[o.Partition] = o.Offset })
	return found, cmp.Or(err, listed.Error())
}
