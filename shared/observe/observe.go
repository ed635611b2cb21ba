// Package observe is what is seen of the program while it runs on servers: log lines, Prometheus metrics, OpenTelemetry
// traces. It looks at the parts through the small interfaces that they have for it, and no part knows it; cli joins them.
//
//	metrics := observe.NewMetrics(observe.Build{Version: "v1.2.3"})
//	tracing, err := observe.NewTracing(ctx, os.Getenv, "v1.2.3", logger)   // nil = off
//	publisher := metrics.Publisher(tracing.Publisher(publisher))
//	router := web.Router(functions, web.Observe(tracing.Web), web.Observe(metrics.Web))
//	options := bus.Options{Report: observe.All(observe.Events(logger, group), metrics.Events(group)), Tracer: tracing.Events()}
//
// What it promises:
//
//   - Nothing of what an event or a request says is in any of it, and no secret: ids, names of ours, outcomes, times. An
//     error's text is logged, without what it repeats of the event or request (see [events.Masked]); traces and metrics hold no
//     text at all.
//   - The values of a metric's labels are few: topics, consumer groups, partitions, routes, statuses, outcomes, classes.
//   - Tracing is off unless OTEL_TRACES_EXPORTER names an exporter. It then costs nothing: every function returns what it was
//     given. A request's traceparent goes on through the topics all the same, see package trace.
//
// It is not linked into Lambda binaries, whose logs and metrics are CloudWatch's; there traceparent passes through too.
package observe

import (
	"io"
	"log/slog"

	"github.com/sipeat/sipeat/shared/bus"
)

// Logger writes to w, as JSON or as text.
func Logger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(withTrace{slog.NewJSONHandler(w, o)})
	}
	return slog.New(withTrace{slog.NewTextHandler(w, o)})
}

// Events logs a line for each event of a consumer: at level info when it is handled, warn when it is to be tried again, error
// when it went into the dead letters. Of an event that is tried again and again the lines grow rare: 1st, 2nd, 4th, 8th try.
func Events(logger *slog.Logger, group string) func(bus.Report) {
	return func(r bus.Report) {
		level := slog.LevelInfo
		switch r.Outcome {
		case bus.Rejected:
			level = slog.LevelError
		case bus.Unavailable, bus.Failed:
			if r.Attempt&(r.Attempt-1) != 0 {
				return
			}
			level = slog.LevelWarn
		}
		if !logger.Enabled(background, level) {
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
			attrs = append(attrs, slog.String("error", r.Err.Error()))
		}
		logger.LogAttrs(background, level, "event", attrs...)
	}
}

// All tells several, those that are nil left out.
func All(reports ...func(bus.Report)) func(bus.Report) {
	var all []func(bus.Report)
	for _, report := range reports {
		if report != nil {
			all = append(all, report)
		}
	}
	return func(r bus.Report) {
		for _, report := range all {
			report(r)
		}
	}
}
