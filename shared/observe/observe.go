// Package observe makes log lines, Prometheus metrics and OpenTelemetry traces of the program on servers. It uses the small
// interfaces that the parts have for it, and no part imports it; cli connects them.
//
// Guarantees:
//
//   - None of it holds payload or a secret: only ids, our own names, outcomes and times. Error texts are logged, and are made
//     without payload (see package events); traces and metrics hold no texts.
//   - Labels of metrics have few values: topics, consumer groups, partitions, routes, statuses, outcomes, classes.
//   - Tracing is off and costs next to nothing unless OTEL_TRACES_EXPORTER names an exporter. A request's traceparent goes
//     through the topics all the same, see package trace.
//
// Lambda binaries do not link it: their logs and metrics are CloudWatch's, and traceparent passes through them too.
package observe

import (
	"context"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

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

// Publisher is next, its writes counted and traced; t may be nil. The event's record carries the traceparent of its span.
func Publisher(next bus.Publisher, m *Metrics, t *Tracing) bus.Publisher {
	return publisher(func(ctx context.Context, e events.Any) (at bus.Position, err error) {
		began := time.Now()
		err = t.within(ctx, "send "+e.Topic(), oteltrace.SpanKindProducer, func(ctx context.Context, span oteltrace.Span) (err error) {
			if at, err = next.Publish(ctx, e); err == nil {
				span.SetAttributes(position(at.Partition, at.Offset)...)
			}
			return err
		}, semconv.MessagingSystemKafka, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"),
			semconv.MessagingDestinationName(e.Topic()), semconv.MessagingMessageID(events.LogID(e.EventID())))
		m.published.WithLabelValues(e.Topic(), outcome(err, "written")).Observe(time.Since(began).Seconds())
		return at, err
	})
}

// Notifier is next, its deliveries counted and traced; t may be nil.
func Notifier(next notify.Notifier, m *Metrics, t *Tracing) notify.Notifier {
	return notifier(func(ctx context.Context, message notify.Message) error {
		began := time.Now()
		err := t.within(ctx, "notify", oteltrace.SpanKindClient, func(ctx context.Context, _ oteltrace.Span) error {
			return next.Notify(ctx, message)
		}, attribute.String("sipeat.event_id", events.LogID(message.EventID)))
		m.notified.WithLabelValues(outcome(err, "sent")).Observe(time.Since(began).Seconds())
		return err
	})
}

// The interfaces of the parts, as functions.
type (
	publisher func(context.Context, events.Any) (bus.Position, error)
	notifier  func(context.Context, notify.Message) error
)

func (f publisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) { return f(ctx, e) }
func (f notifier) Notify(ctx context.Context, m notify.Message) error               { return f(ctx, m) }
