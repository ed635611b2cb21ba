package trace

import (
	"context"
	"log/slog"
)

// Logs adds the ids of the trace, where the context of a line has one, by the names of OpenTelemetry's "Trace Context in
// non-OTLP Log Formats".
func Logs(h slog.Handler) slog.Handler { return logs{h} }

type logs struct{ slog.Handler }

func (h logs) Handle(ctx context.Context, r slog.Record) error {
	if p, ok := From(ctx); ok {
		r.AddAttrs(slog.String("trace_id", p.TraceID()), slog.String("span_id", p.SpanID()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logs) WithAttrs(attrs []slog.Attr) slog.Handler { return Logs(h.Handler.WithAttrs(attrs)) }

func (h logs) WithGroup(name string) slog.Handler { return Logs(h.Handler.WithGroup(name)) }
