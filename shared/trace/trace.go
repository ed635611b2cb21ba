// Package trace passes a request's W3C trace context (https://www.w3.org/TR/trace-context/) on: web reads the header
// traceparent of a request into its context, bus/kafka writes that of a context into a record's headers, and bus reads it from
// there into the handler's context.
//
// It costs a string, and nothing without a trace. Spans of our own are made by package observe, which no Lambda binary
// links: OpenTelemetry's API alone adds 2.6 MB and half a millisecond to a start. tracestate and baggage are not passed on,
// because they are text of any caller.
package trace

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
)

// Header is the name under which HTTP requests and records carry a [Parent].
const Header = "traceparent"

// Parent is a valid traceparent of version 00.
type Parent string

var format = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)

// Parse reads a traceparent; an invalid one is to be ignored. Of a later version it reads the fields of version 00 (section
// 3.2.4 of the recommendation).
func Parse(s string) (p Parent, ok bool) {
	m := format.FindStringSubmatch(s)
	if m == nil || m[1] == "ff" || m[1] == "00" && m[4] != "" || strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" {
		return "", false
	}
	return Parent("00" + strings.TrimSuffix(s, m[4])[2:]), true
}

// TraceID is the id of the trace, 32 hexadecimal digits.
func (p Parent) TraceID() string { return string(p[3:35]) }

// SpanID is the id of the span, 16 hexadecimal digits.
func (p Parent) SpanID() string { return string(p[36:52]) }

type key struct{}

// With is ctx with a parent for everything that it causes.
func With(ctx context.Context, p Parent) context.Context { return context.WithValue(ctx, key{}, p) }

// From is the parent in ctx.
func From(ctx context.Context) (p Parent, ok bool) {
	p, ok = ctx.Value(key{}).(Parent)
	return p, ok
}

// Logs adds to each record the ids of the trace in its context, by the names of OpenTelemetry's "Trace Context in non-OTLP
// Log Formats", and the attribute of each of more; handlers leave out the zero value.
func Logs(h slog.Handler, more ...func(context.Context) slog.Attr) slog.Handler {
	return logs{h, more}
}

type logs struct {
	slog.Handler
	more []func(context.Context) slog.Attr
}

func (h logs) Handle(ctx context.Context, r slog.Record) error {
	for _, from := range h.more {
		r.AddAttrs(from(ctx))
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
