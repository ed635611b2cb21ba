package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// exchange is one request under a router and the state of its answer.
type exchange struct {
	http.ResponseWriter
	request *http.Request
	start   time.Time
	id      string
	route   string // of the function that matched; "" = none
	status  int    // 0 = not answered yet
	eventID string
	err     error  // for the log
	stack   string // of a panic
	watch   bool   // the function's Watch
	problem bool   // the answer is a [Problem], not the mux's own
	swallow bool   // the mux's own text follows

	observed []func(Answered)
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// unmatched are the details of the mux's own answers.
var unmatched = map[int]string{
	http.StatusNotFound:          "No such path; check its spelling, and leave out a trailing slash.",
	http.StatusMethodNotAllowed:  "This path does not accept this method; the header Allow lists those that it does.",
	http.StatusTemporaryRedirect: "The path has a simpler spelling; send the request to the URL in the header Location.",
	http.StatusBadRequest:        "The request cannot be routed; check method and path.",
}

// WriteHeader replaces an answer of the mux itself by a problem.
func (x *exchange) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		x.ResponseWriter.WriteHeader(status)
		return
	}
	if x.status != 0 {
		return
	}
	x.status = status
	if x.route != "" || x.problem || status < 300 {
		x.ResponseWriter.WriteHeader(status)
		return
	}
	x.swallow = true
	if to := x.Header().Get("Location"); to != "" {
		x.Header().Set("Location", proxyInfoOf(x.request.Context()).Prefix+to)
	}
	Problem{Status: status, Detail: unmatched[status]}.Write(x.ResponseWriter, x.request)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.swallow {
		return len(b), nil
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// level is that of the log line: a 503 without a cause is one that is logged elsewhere.
func (x *exchange) level() slog.Level {
	switch {
	case x.status == http.StatusInternalServerError:
		return slog.LevelError
	case x.status == http.StatusServiceUnavailable && x.err != nil:
		return slog.LevelWarn
	case x.watch && x.status < http.StatusBadRequest:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (x *exchange) log(logger *slog.Logger) {
	if x.status == 0 && x.err == nil {
		x.status = http.StatusOK // net/http's own, for a handler that wrote nothing
	}
	attrs := append(make([]slog.Attr, 0, 9),
		slog.String("method", events.OneLine(x.request.Method, 16)),
		slog.String("route", x.route),
		slog.Int("status", x.status),
		slog.Duration("duration", time.Since(x.start)),
		slog.String("request_id", x.id))
	if x.route == "" {
		attrs = append(attrs, slog.String("path", requestPath(x.request)))
	}
	if x.eventID != "" {
		attrs = append(attrs, slog.String("event_id", events.LogID(x.eventID)))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("error", events.LogText(x.err.Error())))
	}
	if x.stack != "" {
		attrs = append(attrs, slog.String("stack", x.stack))
	}
	logger.LogAttrs(x.request.Context(), x.level(), "request", attrs...)
}
