package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Report is how one try of an event ended. It holds ids and error texts, and neither holds payload (see package events).
type Report struct {
	Context context.Context // of the event's handler, for its trace and its invocation's values; nil = none
	Position
	EventID            string // "" = not decodable
	Outcome            Outcome
	Class              Class // of a rejected one
	Attempt            int   // runs of the handler; writing a dead letter again is none
	DeadLetterFailures int   // failed writes of its dead letter
	Took               time.Duration
	Err                error
}

// DeadLetterOnly reports whether only the dead letter was tried again and the handler did not run.
func (r Report) DeadLetterOnly() bool {
	return r.DeadLetterFailures > 1 || r.DeadLetterFailures == 1 && r.Outcome == Rejected
}

// Tracer is called before the first try of an event, from several goroutines at once. The context it returns is that of every
// try and of the dead letter. tried is called after each try; the last is done or rejected, or the zero Report: the partition
// was closed, and its next owner starts over. The record must not be kept. eventID is "" if the record cannot be decoded.
type Tracer func(ctx context.Context, group, eventID string, r *Record) (_ context.Context, tried func(Report))

// Log is an [Options.Report] that logs a line for each event of a consumer group: at level handled when it was handled at once,
// info when that took more than one attempt, warn when it will be retried, error when it was rejected; a panic with its stack.
// The retries of one event and of one dead letter are logged ever more rarely: the 1st, 2nd, 4th, 8th, ...
func Log(logger *slog.Logger, group string, handled slog.Level) func(Report) {
	return func(r Report) {
		level := handled
		switch r.Outcome {
		case Done:
			if r.Attempt > 1 {
				level = slog.LevelInfo
			}
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
		if !logger.Enabled(r.Context, level) {
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
		if p, ok := errors.AsType[*events.Panic](r.Err); ok && !r.DeadLetterOnly() {
			attrs = append(attrs, slog.String("stack", string(p.Stack)))
		}
		logger.LogAttrs(r.Context, level, "event", attrs...)
	}
}
