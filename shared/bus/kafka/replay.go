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
	"github.com/twmb/franz-go/pkg/kgo"
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
	running, stop := context.WithCancel(ctx)
	defer stop()
	overrun := make(chan error, 1)
	o.Delivery.Overrun = func(err error) {
		select {
		case overrun <- err:
			stop()
		default: // it is ending already
		}
	}
	r := &replay{ReplayOptions: o, cluster: cluster, topic: c.Topic, partitions: map[int32]*partition{}}
	if err := r.open(ctx, bus.NewEngine(c, o.DeadLetters, o.Delivery)); err != nil {
		return err
	}
	ticking, stopTicks := context.WithCancel(running)
	var ticks sync.WaitGroup
	ticks.Go(func() { r.tick(ticking) })
	err := r.run(running)
	stopTicks()
	ticks.Wait()
	err = errors.Join(err, r.close())
	select {
	case err = <-overrun: // a handler ignores its deadline
	default:
	}
	return err
}

type replay struct {
	ReplayOptions
	cluster    settings.Kafka
	topic      string
	from, ends map[int32]int64 // at the start
	partitions map[int32]*partition

	mu       sync.Mutex
	caughtUp bool
}

func (r *replay) open(ctx context.Context, engine *bus.Engine) error {
	client, err := newClient(r.cluster, r.Logger)
	if err != nil {
		return err
	}
	defer client.Close()
	if r.from, r.ends, err = bounds(ctx, kadm.NewClient(client), r.topic); err != nil {
		return err
	}
	for n, end := range r.ends {
		r.partitions[n] = openPartition(engine, n, func() {})
		r.partitions[n].advanced = r.From[n]
		r.from[n] = min(max(r.from[n], r.From[n]), end)
	}
	return nil
}

func (r *replay) run(ctx context.Context) error {
	if err := r.read(ctx, r.from, false); err != nil {
		return err
	}
	for _, p := range r.partitions {
		if err := p.Wait(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.caughtUp = true
	r.mu.Unlock()
	if err := r.advance(ctx); err != nil || r.CaughtUp == nil {
		return err
	}
	r.CaughtUp()
	if err := r.read(ctx, r.ends, true); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// read delivers the records from there on. It has a client of its own: one that was used before has fetched further.
func (r *replay) read(ctx context.Context, from map[int32]int64, follow bool) error {
	client, err := newClient(r.cluster, r.Logger, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	return read(ctx, client, r.topic, from, r.ends, follow, func(record bus.Record) error {
		p := r.partitions[record.Partition]
		p.Deliver([]bus.Record{record})
		if !p.waitForRoom(ctx) {
			return ctx.Err()
		}
		return nil
	})
}

func (r *replay) tick(ctx context.Context) {
	for pause(ctx, time.Second) {
		if err := r.advance(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Warn("the progress of the read model cannot be stored", "topic", r.topic, "error", err)
		}
	}
}

// advance calls Advance and Progress.
func (r *replay) advance(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
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
		handled += at - r.from[n]
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

// replayClose is how long handlers may continue at the end.
const replayClose = 5 * time.Second

func (r *replay) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), replayClose)
	defer cancel()
	var closing sync.WaitGroup
	for _, p := range r.partitions {
		closing.Go(func() { _ = p.Close(ctx) }) // what it abandons is read again the next time
	}
	closing.Wait()
	return r.advance(ctx)
}
