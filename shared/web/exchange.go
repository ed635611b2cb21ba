package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
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
	logged  bool   // the error is logged elsewhere
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

// RequestID is the id of the request that ctx belongs to, as in X-Request-Id of its answer; "" outside a [Router].
func RequestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.id
	}
	return ""
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
	Problem{Status: status, Detail: x.unmatched(status)}.Write(x.ResponseWriter, x.request)
}

// unmatched is the detail of an answer of the mux: what to do about it.
func (x *exchange) unmatched(status int) string {
	switch status {
	case http.StatusNotFound:
		if p := x.request.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
			return "No such path; try it without the trailing slash."
		}
		return "No such path; check its spelling."
	case http.StatusMethodNotAllowed:
		return "This path does not accept this method; allowed: " + x.Header().Get("Allow") + "."
	case http.StatusTemporaryRedirect:
		return "The path has a simpler spelling; send the request to the URL in the header Location."
	}
	return "The request cannot be routed; check method and path."
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

func levelOf(status int) slog.Level {
	switch status {
	case http.StatusInternalServerError:
		return slog.LevelError
	case http.StatusServiceUnavailable:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// maxLogPath is how much of the path of a request without a route is logged, in bytes of its percent-encoded form.
const maxLogPath = 200

func (x *exchange) log(logger *slog.Logger) {
	if logger == nil {
		logger = slog.Default()
	}
	if x.status == 0 && x.err == nil {
		x.status = http.StatusOK // net/http's own, for a handler that wrote nothing
	}
	level := levelOf(x.status)
	if x.logged {
		level = slog.LevelInfo
	}
	if x.watch && x.status < http.StatusBadRequest {
		level = slog.LevelDebug
	}
	ctx := x.request.Context()
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 9),
		slog.String("method", bounded(x.request.Method, 16)),
		slog.String("route", x.route),
		slog.Int("status", x.status),
		slog.Duration("duration", time.Since(x.start)),
		slog.String("request_id", x.id))
	if x.route == "" {
		attrs = append(attrs, slog.String("path", bounded(requestPath(x.request), maxLogPath)))
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
	logger.LogAttrs(ctx, level, "request", attrs...)
}
