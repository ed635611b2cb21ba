package bus

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Engine delivers the records of one topic to its consumer, alike for a worker, which feeds it from its poll, and for a
// Lambda function, which feeds it one invocation.
//
// Each event ends in one of three ways. Done: its handler returned nil. Rejected: it cannot be decoded, the handler called
// it invalid or a conflict, or it still failed for an unknown reason (a panic included) after [Options.Attempts]; its dead
// letter is then written and awaited. Otherwise it is unavailable and retried for as long as it takes: after the delay that
// its error asks for ([events.Error.RetryAfter]), else with exponential backoff and jitter. So is a dead letter that cannot
// be written. When [Options.StallAfter] different events in a row fail for an unknown reason the engine stalls: it assumes
// an outage and rejects none of them until one succeeds.
//
// An event that is unavailable for itself alone ([events.Error.EventOnly]) is rejected once it is older than
// [Options.GiveUpAfter], or once it has failed for an hour while later events of its partition wait for it. In an outage
// none is: other events must have succeeded in the last half hour.
type Engine struct {
	consumer    Consumer
	deadLetters DeadLetters
	options     Options
	breaker     breaker
	// returned keeps the retry state of returned events, so that one that fails slowly uses up its attempts over several
	// invocations. An event whose state is dropped starts over.
	returned *lru.Cache[Position, retryState]
}

// Options tune an engine; the zero value of each means its default.
type Options struct {
	Concurrency      int           // handlers running at the same time in one partition; 64
	MaxBuffered      int           // events from the first unhandled to the last begun in one partition; 4096
	MaxBufferedBytes int           // memory of these events at which the partition is full; 16 MiB
	Attempts         int           // tries of an event that fails for an unknown reason, those in an outage not counted; 5
	StallAfter       int           // different events failing in a row that count as an outage; 3
	HandlerTimeout   time.Duration // for one try; 30 s
	GiveUpAfter      time.Duration // age at which an event that is refused for itself alone is rejected, see [Engine]; 24 h
	Grace            time.Duration // how long a handler may continue after its deadline or cancellation; 4 s
	MinBackoff       time.Duration // the first delay before a retry; 100 ms
	MaxBackoff       time.Duration // the longest; 30 s

	// Report, if set, is called after every try, from several goroutines at once.
	Report func(Report)
	// Tracer, if set, follows every event.
	Tracer Tracer
	// Overrun is called when a handler has ignored its deadline or cancellation for the length of Grace; time in which the
	// process was suspended does not count. Another handler must not get its key while it runs, so the caller has to end
	// the process. The default panics.
	Overrun func(error)
	Logger  *slog.Logger // the default one
}

// NewEngine returns an engine for a consumer.
func NewEngine(c Consumer, deadLetters DeadLetters, o Options) *Engine {
	o.Concurrency = cmp.Or(o.Concurrency, 64)
	o.MaxBuffered = cmp.Or(o.MaxBuffered, 4096)
	o.MaxBufferedBytes = cmp.Or(o.MaxBufferedBytes, 16<<20)
	o.Attempts = cmp.Or(o.Attempts, 5)
	o.StallAfter = cmp.Or(o.StallAfter, 3)
	o.HandlerTimeout = cmp.Or(o.HandlerTimeout, 30*time.Second)
	o.GiveUpAfter = cmp.Or(o.GiveUpAfter, 24*time.Hour)
	o.Grace = cmp.Or(o.Grace, 4*time.Second)
	o.MinBackoff = cmp.Or(o.MinBackoff, 100*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 30*time.Second)
	if o.Overrun == nil {
		o.Overrun = func(err error) { panic(err) }
	}
	o.Logger = cmp.Or(o.Logger, slog.Default()).With("topic", c.Topic, "group", c.Group)
	returned, _ := lru.New[Position, retryState](maxReturned) // it refuses only sizes below 1
	return &Engine{consumer: c, deadLetters: deadLetters, options: o, returned: returned,
		breaker: breaker{limit: o.StallAfter, failing: map[Position]bool{}}}
}

// Open starts the delivery of one partition. Handlers inherit the values of ctx, not its end. room, if not nil, is called each
// time a partition that was full has room again, from any goroutine and without locks held.
//
// A delivery that ends at a known time, as an invocation does, has that as end; the caller closes the partition then. Handlers
// get no deadline after it, no retry is awaited that would begin later, and [Partition.Wait] returns as soon as nothing else
// is left.
func (e *Engine) Open(ctx context.Context, partition int32, end time.Time, room func()) *Partition {
	p := &Partition{engine: e, number: partition, room: room, end: end, begun: -1, queues: map[uint64]*keyQueue{}}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.changed.L, p.work.L = &p.mu, &p.mu
	var watching context.Context
	watching, p.stopWatch = context.WithCancel(context.Background())
	go p.watch(watching)
	return p
}

// Stalled reports whether the engine assumes an outage, see [Engine].
func (e *Engine) Stalled() bool {
	e.breaker.mu.Lock()
	defer e.breaker.mu.Unlock()
	return e.breaker.stalled
}
