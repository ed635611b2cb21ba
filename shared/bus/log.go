package bus

import (
	"context"
	"log/slog"

	"github.com/sipeat/sipeat/shared/events"
)

// Log is an [Options.Report] that logs a line for each event of a consumer group: at level info when it is handled, warn when
// it is to be tried again, error when it went into the dead letters; of a panic with its stack. Of an event that is tried
// again and again the lines grow rare: 1st, 2nd, 4th, 8th try, and so of a dead letter that cannot be written.
func Log(logger *slog.Logger, group string) func(Report) {
	return func(r Report) {
		level := slog.LevelInfo
		switch r.Outcome {
		case Rejected:
			level = slog.LevelError
		case Unavailable, Failed:
			n := r.Attempt
			if r.DeadLetterFailures > 0 { // the attempts are over
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
		attrs := append(make([]slog.Attr, 0, 10),
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
