package bus

import (
	"context"
	"log/slog"
	"math"
	"time"
)

// Engine delivers the records of one topic to its consumer: the same for a worker, which feeds it from its own poll, and
// for a Lambda function, which feeds it one invocation.
//
// Each event ends in one of three ways. Done: its handler returned nil. Rejected: it cannot be decoded, the handler
// called it invalid or a conflict, or it still failed for an unknown reason (a panic too) after [Options.Attempts]; it is
// then written to the dead letters, waited for. Otherwise it is unavailable and tried again, for ever: when its error asks
// for it ([events.Error.RetryAfter]), else with exponential backoff and jitter; a dead letter that cannot be written is, too. When [Options.StallAfter] different events in a row
// fail for an unknown reason the engine stalls: it takes that for an outage and rejects none of them until one succeeds.
//
// An event that is unavailable for itself alone ([events.Error.EventOnly]) is rejected once it is older than
// [Options.GiveUpAfter], or once it has failed for an hour while later events of its partition wait for it. In an outage
// none is: other events must have succeeded in the last half hour.
type Engine struct {
	consumer Consumer
	letters  DeadLetters
	options  Options
	breaker  breaker
	giveUp   giveUp
	memory   memory
}

// Options tune an engine; the zero value of each means its default.
type Options struct {
	Concurrency      int           // handlers running at the same time in one partition; 64
	MaxBuffered      int           // events in hand in one partition before it is full, see [Partition.Full]; 4096
	MaxBufferedBytes int           // bytes in hand in one partition before it is full; 16 MiB
	Attempts         int           // tries of an event that fails for an unknown reason, outages not counted; 5
	StallAfter       int           // different events failing in a row that count as an outage; 3
	HandlerTimeout   time.Duration // what one try may take; 30 s
	GiveUpAfter      time.Duration // age of an event that is refused for itself alone at which it is rejected, see [Engine]; 24 h
	Grace            time.Duration // how long a handler may go on after that, or after being cancelled; 5 s
	MinBackoff       time.Duration // the first pause before a retry; 100 ms
	MaxBackoff       time.Duration // the longest; 30 s

	// Report, if set, is told of every try, from several goroutines at once. Without it nothing is logged of a try but a
	// panic.
	Report func(Report)
	// Tracer, if set, follows every event.
	Tracer Tracer
	// Overrun is called when a handler has ignored its deadline for the length of Grace. Its key cannot be given to
	// anyone while it runs, so whoever hosts the engine must end the process. The default panics.
	Overrun func(error)
	Logger  *slog.Logger // the default one
}

// Report is how one try to handle an event ended. It holds ids and error texts, and neither holds payload (see package events).
type Report struct {
	Context            context.Context // the values that the event's handler has: of its trace, and of the invocation that brought it; nil = none
	Topic              string
	Partition          int32
	Offset             int64
	EventID            string // "" = not decodable
	Outcome            Outcome
	Class              Class // of a rejected one
	Attempt            int   // how often the handler was run; a dead letter that is written again does not count
	DeadLetterFailures int   // how often its dead letter could not be written
	Took               time.Duration
	Err                error
	Stack              string // of a panic
}

// DeadLetterOnly reports whether the handler was not run: its dead letter alone was tried again.
func (r Report) DeadLetterOnly() bool {
	return r.DeadLetterFailures > 1 || r.DeadLetterFailures == 1 && r.Outcome == Rejected
}

// NewEngine makes an engine for a consumer.
func NewEngine(c Consumer, letters DeadLetters, o Options) *Engine {
	setDefault(&o.Concurrency, 64)
	setDefault(&o.MaxBuffered, 4096)
	setDefault(&o.MaxBufferedBytes, 16<<20)
	setDefault(&o.Attempts, 5)
	setDefault(&o.StallAfter, 3)
	setDefault(&o.HandlerTimeout, 30*time.Second)
	setDefault(&o.GiveUpAfter, 24*time.Hour)
	setDefault(&o.Grace, 5*time.Second)
	setDefault(&o.MinBackoff, 100*time.Millisecond)
	setDefault(&o.MaxBackoff, 30*time.Second)
	if o.Overrun == nil {
		o.Overrun = func(err error) { panic(err) }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Engine{consumer: c, letters: letters, options: o, breaker: breaker{limit: o.StallAfter}}
}

func setDefault[N int | time.Duration](n *N, value N) {
	if *n == 0 {
		*n = value
	}
}

// Open starts the delivery of one partition. room is called, from any goroutine and without locks held, each time a
// partition that was full has room again; it may be nil.
func (e *Engine) Open(partition int32, room func()) *Partition {
	p := e.partition(context.Background(), partition)
	p.room = room
	go p.watch()
	return p
}

// OpenUntil starts the delivery of one partition that ends at a time that is known from the start, as an invocation does.
// No handler has longer than until then, no retry is waited for that would begin later, and [Partition.Wait] returns as
// soon as nothing else is left. Whoever opened it closes it at that time: of ctx the handlers have the values alone.
func (e *Engine) OpenUntil(ctx context.Context, partition int32, until time.Time) *Partition {
	p := e.partition(context.WithoutCancel(ctx), partition)
	p.end = max(until.Sub(p.opened), 1)
	go p.watch()
	return p
}

func (e *Engine) partition(parent context.Context, number int32) *Partition {
	ctx, cancel := context.WithCancel(parent)
	p := &Partition{engine: e, number: number, opened: time.Now(), end: never, reached: -1, ctx: ctx, cancel: cancel, lanes: map[string]*lane{}}
	p.idle.L = &p.mu
	return p
}

const never = time.Duration(math.MaxInt64)
