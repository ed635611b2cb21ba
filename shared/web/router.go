package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Option configures a [Router].
type Option func(*router)

// Log sets the logger of requests; the default is slog.Default().
func Log(logger *slog.Logger) Option { return func(rt *router) { rt.logger = logger } }

// Guard sets the check of functions for staff. It calls next with [WithCaller] in the request's context, or answers with a
// [Problem] of 401 or 403.
func Guard(guard func(next http.Handler) http.Handler) Option {
	return func(rt *router) { rt.guard = guard }
}

// Open opens the functions for staff to everyone: for a server that only this machine reaches, or behind another guard.
func Open() Option { return Guard(func(next http.Handler) http.Handler { return next }) }

// closed is the guard without [Guard]: forgetting it must not open anything.
func closed(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Problem{Status: http.StatusForbidden, Detail: "This is for staff, and no authentication is configured."}.Write(w, r)
	})
}

// Throttle sets the rate limit. It wraps each function that is not Watch, inside the guard, so that [Caller] is known, and calls
// next or answers with a [Problem] of 429.
func Throttle(throttle func(f Function, next http.Handler) http.Handler) Option {
	return func(rt *router) { rt.throttle = throttle }
}

// Around sets a middleware around everything else, the guard and the router's own answers included: CORS, for one, whose
// headers must be on each answer. It may answer itself, with a success or a [Problem].
func Around(around func(next http.Handler) http.Handler) Option {
	return func(rt *router) { rt.around = around }
}

// BehindTLS is for a router that is reached by https alone: answers tell browsers to stay on it (HSTS, RFC 6797).
func BehindTLS() Option { return func(rt *router) { rt.tls = true } }

type router struct {
	mux      *http.ServeMux
	serve    http.Handler // the mux, inside around
	logger   *slog.Logger
	guard    func(http.Handler) http.Handler
	throttle func(Function, http.Handler) http.Handler
	around   func(http.Handler) http.Handler
	tls      bool

	observers []Observer // see [Observe]
}

// Router serves the functions and answers all other requests itself: 404, 405 with Allow, 307 to the clean spelling of a path,
// 500 for a panic. GET routes answer HEAD too. It logs one line per request: at level error for 500, warn for 503, debug for
// successes of Watch functions, otherwise info. Functions for staff are closed without [Guard] or [Open].
//
// It panics on a wrong table: a route that ServeMux refuses or that is there twice, or one whose path values are not those
// that its handler reads.
func Router(functions []Function, options ...Option) http.Handler {
	rt := &router{mux: http.NewServeMux(), guard: closed}
	for _, option := range options {
		option(rt)
	}
	for _, f := range functions {
		checkPath(f)
		handler := f.Handler
		if rt.throttle != nil && !f.Watch {
			handler = rt.throttle(f, handler)
		}
		if f.Staff {
			handler = rt.guard(handler)
		}
		rt.mux.Handle(f.Route, matched{f, handler})
	}
	rt.serve = rt.mux
	if rt.around != nil {
		rt.serve = rt.around(rt.mux)
	}
	return rt
}

// checkPath compares the names in a route with those that its handler reads.
func checkPath(f Function) {
	q, ok := f.Handler.(interface{ pathNames() []string })
	if !ok {
		return
	}
	var names []string
	for segment := range strings.SplitSeq(f.Route, "/") {
		if strings.HasPrefix(segment, "{") && segment != "{$}" {
			names = append(names, strings.TrimSuffix(strings.Trim(segment, "{}"), "..."))
		}
	}
	slices.Sort(names)
	if want := q.pathNames(); !slices.Equal(names, want) {
		panic(fmt.Sprintf("web: route %q of %s has the path values %v, but its handler reads %v", f.Route, f.Name, names, want))
	}
}

// matched marks the exchange as matched by a function, so that its answer is not taken for the mux's own.
type matched struct {
	function Function
	next     http.Handler // its handler, inside guard and throttle
}

func (m matched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x := exchangeOf(r.Context()); x != nil {
		x.route, x.watch = m.function.Route, m.function.Watch
	}
	m.next.ServeHTTP(w, r)
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, start: time.Now(), id: requestID(r)}
	x.request = r.WithContext(context.WithValue(rt.observe(x, r), exchangeKey{}, x))
	w.Header().Set("X-Request-Id", x.id)
	setPolicies(w.Header(), rt.tls)
	defer rt.finish(x)
	rt.serve.ServeHTTP(x, x.request)
}

// finish answers for a handler that panicked, and logs the request.
func (rt *router) finish(x *exchange) {
	fault := recover()
	cut := fault != nil
	switch {
	case fault == any(http.ErrAbortHandler): // the handler means to cut the connection
	case cut:
		p := events.Recovered(fault)
		x.err, x.stack = p, string(p.Stack)
		if cut = x.status != 0; !cut {
			Problem{Status: http.StatusInternalServerError, Detail: kinds[events.Unknown].Detail}.Write(x, x.request)
		}
	}
	x.log(rt.logger)
	x.reportAnswered()
	if cut {
		panic(http.ErrAbortHandler) // a partial answer must not look complete
	}
}

// requestID is the caller's X-Request-Id, or that of [ProxyInfo], or a new one.
func requestID(r *http.Request) string {
	if values := r.Header["X-Request-Id"]; len(values) == 1 && loggableID(values[0]) {
		return values[0]
	}
	if id := proxyInfoOf(r.Context()).RequestID; loggableID(id) {
		return id
	}
	return rand.Text()
}

// loggableID reports whether an id fits a log line as it is.
func loggableID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.:/+=@", c) < 0 {
			return false
		}
	}
	return id != "" && len(id) <= 128
}
