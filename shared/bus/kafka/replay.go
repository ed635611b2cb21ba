package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// CaughtUp, if set, is called when the records that there were at the start are handled; then Replay goes on with new ones
	// until ctx is done. Without it Replay ends there.
	CaughtUp func()
	Logger   *slog.Logger
}

// Replay gives the events of a topic to a consumer, like [Consume], but without a consumer group: it commits nothing, and other
// consumers do not notice it. It returns nil when all is handled or, if it goes on with new records, when ctx is done. Partitions
// that are added meanwhile are not read.
func Replay(ctx context.Context, cluster settings.Kafka, c bus.Consumer, o ReplayOptions) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o.Delivery.Overrun = func(err error) { stop(err) }
	r := &replay{ReplayOptions: o, cluster: cluster, topic: c.Topic, partitions: map[int32]*replayed{}}
	from, ends, err := r.open(ctx, bus.NewEngine(c, o.DeadLetters, o.Delivery))
	if err != nil {
		return err
	}
	ticking, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		r.tick(ctx, ticking)
	}()
	if err = r.read(ctx, from, ends, false); err == nil {
		if err = r.finish(ctx, ends); err == nil && o.CaughtUp != nil {
			o.CaughtUp()
			err = r.read(ctx, ends, ends, true)
		}
	}
	close(ticking)
	<-ticked
	cause := context.Cause(ctx)
	err = errors.Join(err, r.close())
	if errors.Is(cause, context.Canceled) && errors.Is(err, context.Canceled) && r.caughtUp.Load() {
		return nil
	}
	if cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // a handler ignores its deadline
	}
	return err
}

type replay struct {
	ReplayOptions
	cluster    settings.Kafka
	topic      string
	partitions map[int32]*replayed
	all        int64
	caughtUp   atomic.Bool
	advancing  sync.Mutex
}

type replayed struct {
	*bus.Partition
	room     chan struct{} // signals that a full partition may have room again
	start    int64
	end      atomic.Int64 // where all is handled once caughtUp is set, although the last offsets may hold no record
	advanced int64        // up to where Advance was called
}

// open opens the partitions, and returns where each begins and ends.
func (r *replay) open(ctx context.Context, engine *bus.Engine) (from, ends map[int32]int64, err error) {
	client, err := newClient(r.cluster, r.Logger)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	starts, ends, err := bounds(ctx, kadm.NewClient(client), r.topic)
	if err != nil {
		return nil, nil, err
	}
	from = map[int32]int64{}
	for n, end := range ends {
		p := &replayed{room: make(chan struct{}, 1), start: min(max(starts[n], r.From[n]), end), advanced: r.From[n]}
		p.Partition = engine.Open(n, func() {
			select {
			case p.room <- struct{}{}:
			default: // signalled already
			}
		})
		from[n], r.partitions[n] = p.start, p
		r.all += end - p.start
	}
	return from, ends, nil
}

func (r *replay) read(ctx context.Context, from, until map[int32]int64, follow bool) error {
	client, err := newClient(r.cluster, r.Logger, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	return read(ctx, client, map[string]map[int32]int64{r.topic: from}, map[string]map[int32]int64{r.topic: until}, follow,
		func(record bus.Record) error {
			p := r.partitions[record.Partition]
			p.Deliver([]bus.Record{record})
			for p.Full() {
				select {
				case <-p.room:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
}

// finish waits until everything before the ends is handled.
func (r *replay) finish(ctx context.Context, ends map[int32]int64) error {
	for n, p := range r.partitions {
		if err := p.Wait(ctx); err != nil {
			return err
		}
		p.end.Store(ends[n])
	}
	r.caughtUp.Store(true)
	return r.advance(ctx)
}

func (p *replayed) handled() int64 {
	at, _, ok := p.Handled()
	if !ok {
		at = p.start
	}
	return max(at, p.end.Load())
}

func (r *replay) tick(ctx context.Context, stop <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			if err := r.advance(ctx); err != nil && ctx.Err() == nil {
				r.Logger.Warn("the read model cannot note how far it is", "topic", r.topic, "error", err)
			}
		}
	}
}

// advance calls Advance and Progress.
func (r *replay) advance(ctx context.Context) error {
	r.advancing.Lock()
	defer r.advancing.Unlock()
	from, to := map[int32]int64{}, map[int32]int64{}
	handled := int64(0)
	for n, p := range r.partitions {
		at := p.handled()
		handled += at - p.start
		if at > p.advanced {
			from[n], to[n] = p.advanced, at
		}
	}
	r.Progress(handled, r.all)
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

// replayClose is how long handlers may go on at the end.
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
