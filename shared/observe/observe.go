// Package observe is what is seen of the program while it runs on servers: log lines, Prometheus metrics, OpenTelemetry
// traces. It looks at the parts through the small interfaces that they have for it, and no part knows it; cli joins them.
//
//	metrics := observe.NewMetrics(observe.Build{Version: "v1.2.3"})
//	tracing, err := observe.NewTracing(ctx, os.Getenv, "v1.2.3", logger)   // nil = off
//	publisher := metrics.Publisher(tracing.Publisher(publisher))
//	router := web.Router(functions, web.Observe(tracing.Web), web.Observe(metrics.Web))
//	options := bus.Options{Report: observe.All(bus.Log(logger, group), metrics.Events(group)), Tracer: tracing.Events()}
//
// What it promises:
//
//   - None of it holds payload or a secret: only ids, our own names, outcomes and times. Error texts are logged, and are made
//     without payload (see package events); traces and metrics hold no texts.
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
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
)

// Logger writes to w, as JSON or as text.
func Logger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if json {
		o.ReplaceAttr = events.LogAttr
		return slog.New(trace.Logs(slog.NewJSONHandler(w, o)))
	}
	return slog.New(trace.Logs(slog.NewTextHandler(w, o)))
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
