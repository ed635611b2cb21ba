package trace

import (
	"context"
	"log/slog"
)

// Logs adds to each record the ids of the trace in its context, by the names of OpenTelemetry's "Trace Context in non-OTLP
// Log Formats", and the attribute of each of more that has one.
func Logs(h slog.Handler, more ...func(context.Context) (attr slog.Attr, ok bool)) slog.Handler {
	return logs{h, more}
}

type logs struct {
	slog.Handler
	more []func(context.Context) (slog.Attr, bool)
}

func (h logs) Handle(ctx context.Context, r slog.Record) error {
	for _, from := range h.more {
		if attr, ok := from(ctx); ok {
			r.AddAttrs(attr)
		}
	}
	if p, ok := From(ctx); ok {
		r.AddAttrs(slog.String("trace_id", p.TraceID()), slog.String("span_id", p.SpanID()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logs{h.Handler.WithAttrs(attrs), h.more}
}

func (h logs) WithGroup(name string) slog.Handler { return logs{h.Handler.WithGroup(name), h.more} }
