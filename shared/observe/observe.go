// Package observe makes log lines, Prometheus metrics and OpenTelemetry traces of the program on servers. It uses the small
// interfaces that the parts have for it, and no part imports it; cli connects them.
//
// Guarantees:
//
//   - None of it holds payload or a secret: only ids, our own names, outcomes and times. Error texts are logged, and are made
//     without payload (see package events); traces and metrics hold no texts.
//   - Labels of metrics have few values: topics, consumer groups, partitions, routes, statuses, outcomes, classes.
//   - Tracing is off and costs nothing unless OTEL_TRACES_EXPORTER names an exporter. A request's traceparent goes through the
//     topics all the same, see package trace.
//
// Lambda binaries do not link it: their logs and metrics are CloudWatch's, and traceparent passes through them too.
package observe

import (
	"context"
	"io"
	"log/slog"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
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

// All calls all reports.
func All(reports ...func(bus.Report)) func(bus.Report) {
	return func(r bus.Report) {
		for _, report := range reports {
			report(r)
		}
	}
}

// The interfaces of the parts, as functions.
type (
	publisher func(context.Context, events.Any) (bus.Position, error)
	notifier  func(context.Context, notify.Message) error
)

func (f publisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) { return f(ctx, e) }
func (f notifier) Notify(ctx context.Context, m notify.Message) error               { return f(ctx, m) }
