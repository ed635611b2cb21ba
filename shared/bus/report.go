package bus

import (
	"context"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Report is how one try of an event ended. It holds ids and error texts, and neither holds payload (see package events).
type Report struct {
	Context            context.Context // of the event's handler, for its trace and its invocation's values; nil = none
	Topic              string
	Partition          int32
	Offset             int64
	EventID            string // "" = not decodable
	Outcome            Outcome
	Class              Class // of a rejected one
	Attempt            int   // runs of the handler; writing a dead letter again is none
	DeadLetterFailures int   // failed writes of its dead letter
	Took               time.Duration
	Err                error
	Stack              string // of a panic
}

// DeadLetterOnly reports whether only the dead letter was tried again and the handler did not run.
func (r Report) DeadLetterOnly() bool {
	return r.DeadLetterFailures > 1 || r.DeadLetterFailures == 1 && r.Outcome == Rejected
}

// Tracer follows events through their consumer. Its methods are called from several goroutines at once.
type Tracer interface {
	// Begin is called before the first try of an event. The context it returns is that of every try and of the dead letter.
	// The record must not be kept. eventID is "" if the record cannot be decoded.
	Begin(ctx context.Context, group, eventID string, r *Record) (context.Context, Trace)
}

// Trace follows one event, from one goroutine at a time.
type Trace interface {
	Tried(Report) // after each try; the last is done or rejected
	Returned()    // instead of that: the partition was closed, and its next owner starts over
}

// Log is an [Options.Report] that logs a line for each event of a consumer group: at level info when it is handled, warn
// when it will be retried, error when it was rejected; a panic with its stack. The retries of one event and of one dead
// letter are logged ever more rarely: the 1st, 2nd, 4th, 8th, ...
func Log(logger *slog.Logger, group string) func(Report) {
	return func(r Report) {
		level := slog.LevelInfo
		switch r.Outcome {
		case Rejected:
			level = slog.LevelError
		case Unavailable, Failed:
			n := r.Attempt
			if r.DeadLetterFailures > 0 {
				n = r.DeadLetterFailures
			}
			if n&(n-1) != 0 {
				return
			}
			level = slog.LevelWarn
		}
		ctx := r.Context
		if ctx == nil {
			ctx = context.Background()
		}
		if !logger.Enabled(ctx, level) {
			return
		}
		attrs := append(make([]slog.Attr, 0, 11),
			slog.String("topic", r.Topic), slog.Int("partition", int(r.Partition)), slog.Int64("offset", r.Offset),
			slog.String("event_id", r.EventID), slog.String("group", group), slog.String("outcome", string(r.Outcome)),
			slog.Int("attempt", r.Attempt), slog.Duration("duration", r.Took))
		if r.Class != "" {
			attrs = append(attrs, slog.String("class", string(r.Class)))
		}
		if r.Err != nil {
			attrs = append(attrs, slog.String("error", events.LogText(r.Err.Error())))
		}
		if r.Stack != "" {
			attrs = append(attrs, slog.String("stack", r.Stack))
		}
		logger.LogAttrs(ctx, level, "event", attrs...)
	}
}
