package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// exchange is one request under a router and the state of its answer.
type exchange struct {
	http.ResponseWriter
	start    time.Time
	id       string
	function Function // that matched; zero = none
	status   int      // 0 = not answered yet
	eventID  string
	cause    string // of a failure, for the log
	stack    string // of a panic
}

type exchangeKey struct{}

// exchangeOf returns the request's exchange; a new one without a router.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// setPolicies sets the headers of every answer, for a browser that is made to show or embed what is meant for programs.
func (x *exchange) setPolicies(tls bool) {
	h := x.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")              // paths contain ids
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // for mode no-cors only, so CORS still works (Fetch, 3.7)
	if tls {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// InPage is the source of a Content-Security-Policy that admits this style or script where it is written into the page.
func InPage(text string) string {
	digest := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
}

// log writes the request's line. A 503 without a cause is one that is logged elsewhere.
func (x *exchange) log(logger *slog.Logger, r *http.Request) {
	level := slog.LevelInfo
	switch {
	case x.status == http.StatusInternalServerError:
		level = slog.LevelError
	case x.status == http.StatusServiceUnavailable && x.cause != "":
		level = slog.LevelWarn
	case x.function.Watch && x.status < http.StatusBadRequest:
		level = slog.LevelDebug
	}
	path := ""
	if x.function.Route == "" {
		path = requestPath(r)
	}
	logger.LogAttrs(r.Context(), level, "request",
		slog.String("method", events.OneLine(r.Method, 16)), slog.String("route", x.function.Route), slog.Int("status", x.status),
		slog.Duration("duration", time.Since(x.start)), slog.String("request_id", x.id), optional("path", path),
		optional("event_id", events.LogID(x.eventID)), optional("error", events.LogText(x.cause)), optional("stack", x.stack))
}

// optional is an attribute that handlers leave out without a text, see [slog.Handler].
func optional(key, text string) slog.Attr {
	if text == "" {
		return slog.Attr{}
	}
	return slog.String(key, text)
}

type callerKey struct{}

// WithCaller sets the caller of a request: a subject that is stable for the same principal, such as the claim "sub". A guard
// calls it once it has verified the caller.
func WithCaller(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, callerKey{}, subject)
}

// Caller is the subject given to [WithCaller]; "" = anonymous.
func Caller(ctx context.Context) string {
	subject, _ := ctx.Value(callerKey{}).(string)
	return subject
}

type prefixKey struct{}

// WithPrefix passes the part of the path that was cut off before the router, such as a base path, "/shop", percent-encoded.
// Routes do not have it; Location and a problem's instance do, so that a caller can follow them.
func WithPrefix(ctx context.Context, prefix string) context.Context {
	return context.WithValue(ctx, prefixKey{}, prefix)
}

func prefixOf(ctx context.Context) string {
	prefix, _ := ctx.Value(prefixKey{}).(string)
	return prefix
}

// requestPath is the path of a request as its caller sent it, percent-encoded, at most 200 characters.
func requestPath(r *http.Request) string {
	return events.OneLine(prefixOf(r.Context())+r.URL.EscapedPath(), 200)
}
