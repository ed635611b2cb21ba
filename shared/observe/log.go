package observe

import (
	"context"
	"log/slog"

	"github.com/sipeat/sipeat/shared/trace"
)

var background = context.Background()

// withTrace adds the ids of the trace, if there is one, by the names of OpenTelemetry's "Trace Context in non-OTLP Log
// Formats".
type withTrace struct{ slog.Handler }

func (h withTrace) Handle(ctx context.Context, r slog.Record) error {
	if p, ok := trace.From(ctx); ok {
		r.AddAttrs(slog.String("trace_id", p.TraceID()), slog.String("span_id", p.SpanID()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h withTrace) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withTrace{h.Handler.WithAttrs(attrs)}
}

func (h withTrace) WithGroup(name string) slog.Handler { return withTrace{h.Handler.WithGroup(name)} }
