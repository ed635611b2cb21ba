package trigger

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// Options tune a handler; the zero value of each means its default.
type Options struct {
	// Partial says that the mapping has ReportBatchItemFailures: what is given back is named in the [Response]. Without it
	// a batch of which anything is given back fails as a whole. It must say what the mapping has, for AWS takes a list that
	// it does not expect for success, and the records are lost.
	Partial bool

	Timeout time.Duration // of an invocation whose context has no deadline; 1 min
	Margin  time.Duration // what is kept of it for the answer; 500 ms
	Finish  time.Duration // how long before the handlers' time is up the last is begun; 1 s

	// Advance, if set, is called with the offsets of a batch that were handled, from one up to another by partition, before they are
	// reported as handled. Its error fails the invocation, and the batch comes again.
	Advance func(ctx context.Context, topic string, from, to map[int32]int64) error

	// Delivery tunes the engine. Its Overrun ends the process by default, so that Lambda makes another: the handler that
	// ignores its deadline must not run on beside the next invocation. If it returns the handler refuses all invocations.
	Delivery bus.Options
	Logger   *slog.Logger // the default one
}

// Handler gives the batches of one topic to its consumer: all of it lives as long as the process, so that an outage that
// the engine has seen in one invocation is known to the next. It may be used by several invocations at the same time.
//
// Of an invocation's time the last part is kept back: [Options].Margin for the answer, and before that the engine's Grace
// for handlers that must be abandoned. Where these are more than half of what is left (at a function timeout below 11 s),
// half is kept: a handler that uses up its grace is then ended by Lambda instead of Overrun. Nothing new is begun in the
// last Finish before, or in the last tenth, so that what runs can end well.
type Handler struct {
	engine  *bus.Engine
	topic   string
	options Options
	reasons reasons
	whole   context.Context // until a handler has ignored its deadline: it may still run
}

// New makes the handler of a consumer.
func New(c bus.Consumer, letters bus.DeadLetters, o Options) *Handler {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.Timeout, time.Minute}, {&o.Margin, 500 * time.Millisecond}, {&o.Finish, time.Second}, {&o.Delivery.Grace, 5 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Delivery.Logger == nil {
		o.Delivery.Logger = o.Logger
	}
	whole, broken := context.WithCancelCause(context.Background())
	h := &Handler{topic: c.Topic, options: o, whole: whole}
	overrun := o.Delivery.Overrun
	if overrun == nil {
		overrun = func(error) { os.Exit(1) }
	}
	o.Delivery.Overrun = func(err error) {
		broken(err)
		o.Logger.Error("the process must end", "topic", c.Topic, "error", err)
		overrun(err)
	}
	report := o.Delivery.Report
	o.Delivery.Report = func(r bus.Report) {
		h.reasons.note(r)
		if report != nil {
			report(r)
		}
	}
	h.engine = bus.NewEngine(c, letters, o.Delivery)
	return h
}

// Stalled reports whether the engine takes what fails for an outage, see [bus.Engine].
func (h *Handler) Stalled() bool { return h.engine.Stalled() }

// Invoke handles the batch that payload is, and returns when all of it is handled, when ctx is done or its deadline near,
// or when nothing more can be done before that. The answer is a [Response] in AWS's form.
//
// An error is for the whole batch, which comes again: a [PayloadError], a record of another topic, a [GivenBackError] where
// answers are not [Options].Partial. What was handled comes again with it, and handlers know a repeat.
//
// AWS sends the records of a partition in order, one batch at a time. They are put in order should they not be, because
// what is given back is named by offset; that an offset stands there twice does no harm.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if err := h.refusal(); err != nil {
		return nil, err
	}
	batch, err := Decode(payload)
	if err != nil {
		return nil, err
	}
	for i := range batch.Records {
		if r := &batch.Records[i]; r.Topic != h.topic {
			return nil, fmt.Errorf("the batch holds a record of topic %q (partition %d, offset %d), and this function consumes %q alone: "+
				"give each topic a mapping and a function of its own", r.Topic, r.Partition, r.Offset, h.topic)
		}
	}
	all := shares(batch.Records)
	h.deliver(ctx, all)
	if err := h.advance(ctx, all); err != nil {
		return nil, err
	}
	failure := h.givenBack(all)
	if err := h.refusal(); err != nil {
		return nil, err
	}
	if len(failure.parts) > 0 && !h.options.Partial {
		return nil, failure
	}
	if len(failure.parts) > 0 {
		h.options.Logger.WarnContext(ctx, "records are given back", "topic", h.topic, "error", failure)
	}
	return failure.Response.MarshalJSON()
}

func (h *Handler) refusal() error {
	if err := context.Cause(h.whole); err != nil {
		return fmt.Errorf("this process must end, because a handler may still be running: %w", err)
	}
	return nil
}
