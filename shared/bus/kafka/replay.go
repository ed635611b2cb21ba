package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
)

// ReplayOptions tune a replay.
type ReplayOptions struct {
	From        map[int32]int64 // where to begin; a partition that is absent begins at the earliest record
	Delivery    bus.Options
	DeadLetters bus.DeadLetters // gets what the consumer rejects
	// Advance is called with what was handled, from one offset up to another by partition, every second and at the end.
	Advance func(ctx context.Context, topic string, from, to map[int32]int64) error
	// Progress is called as often, with the number of offsets that were handled and the number that there were at the start.
	Progress func(handled, all int64)
	// CaughtUp, if set, is called when the records that there were at the start are handled; then Replay continues with new ones
	// until ctx is done. Without it Replay ends there.
	CaughtUp func()
	Logger   *slog.Logger
}

// Replay gives the events of a topic to a consumer, like [Consume], but without a consumer group: it commits nothing, and
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
	engine := bus.NewEngine(c, o.DeadLetters, o.Delivery)
	for n, end := range r.ends {
		r.partitions[n] = openPartition(engine, n, func() {})
		r.partitions[n].advanced = o.From[n]
		r.from[n] = min(max(r.from[n], o.From[n]), end)
	}
	err = read(running, client, r.topic, r.from, r.ends, func(done bool) (bool, error) { return r.next(running, done) },
		func(record bus.Record) error {
			p := r.partitions[record.Partition]
			p.Deliver([]bus.Record{record})
			if !p.waitForRoom(running) {
				return running.Err()
			}
			return nil
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

// next is called after each poll, with whether the records that there were at the start are delivered.
func (r *replay) next(ctx context.Context, done bool) (more bool, err error) {
	if done && !r.caughtUp {
		for _, p := range r.partitions {
			if err := p.Wait(ctx); err != nil {
				return false, err
			}
		}
		r.caughtUp = true
		if r.CaughtUp == nil {
			return false, nil
		}
		if err := r.advance(ctx); err != nil {
			return false, err
		}
		r.CaughtUp()
	}
	if time.Since(r.advanced) > time.Second {
		if err := r.advance(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Warn("the progress of the read model cannot be stored", "topic", r.topic, "error", err)
		}
	}
	return true, nil
}

// advance calls Advance and Progress.
func (r *replay) advance(ctx context.Context) error {
	r.advanced = time.Now()
	from, to := map[int32]int64{}, map[int32]int64{}
	handled, all := int64(0), int64(0)
	for n, p := range r.partitions {
		at, _, ok := p.Handled()
		if !ok {
			at = r.from[n]
		}
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
