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
	"strings"
)

// Header is the name under which HTTP requests and records carry a [Parent].
const Header = "traceparent"

// Parent is a valid traceparent of version 00.
type Parent string

// Parse reads a traceparent; an invalid one is to be ignored. Of a later version it reads the fields of version 00 (section
// 3.2.4 of the recommendation).
func Parse(s string) (p Parent, ok bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return "", false
	}
	version, rest := s[:2], s[length:]
	if version == "ff" || version == "00" && rest != "" || rest != "" && rest[0] != '-' {
		return "", false
	}
	for _, part := range []string{version, s[3:35], s[36:52], s[53:55]} {
		if strings.Trim(part, "0123456789abcdef") != "" {
			return "", false
		}
	}
	if strings.Trim(s[3:35], "0") == "" || strings.Trim(s[36:52], "0") == "" {
		return "", false
	}
	return Parent("00" + s[2:length]), true
}

// TraceID is the id of the trace, 32 hexadecimal digits.
func (p Parent) TraceID() string { return string(p[3:35]) }

// SpanID is the id of the span, 16 hexadecimal digits.
func (p Parent) SpanID() string { return string(p[36:52]) }

// Sampled reports whether the caller records the trace.
func (p Parent) Sampled() bool { return strings.IndexByte("13579bdf", p[54]) >= 0 }

type key struct{}

// With is ctx with a parent for everything that it causes.
func With(ctx context.Context, p Parent) context.Context { return context.WithValue(ctx, key{}, p) }

// From is the parent in ctx.
func From(ctx context.Context) (p Parent, ok bool) {
	p, ok = ctx.Value(key{}).(Parent)
	return p, ok
}
