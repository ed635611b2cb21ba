package web

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
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

// BehindTLS is for a router that is reached only by https: responses instruct browsers to use only that (HSTS, RFC 6797).
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
// It panics on a route that ServeMux refuses or that is there twice.
func Router(functions []Function, options ...Option) http.Handler {
	rt := &router{mux: http.NewServeMux(), guard: closed, logger: slog.Default()}
	for _, option := range options {
		option(rt)
	}
	for _, f := range functions {
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

// finish answers for a handler that panicked, and logs the request. A partial answer must not look complete, so its connection
// is cut, as http.ErrAbortHandler wants it.
func (rt *router) finish(x *exchange) {
	fault := recover()
	cut := fault != nil
	if cut && fault != any(http.ErrAbortHandler) {
		p := events.Recovered(fault)
		x.err, x.stack = p, string(p.Stack)
		if cut = x.status != 0; !cut {
			kinds[events.Unknown].Write(x, x.request)
		}
	}
	x.log(rt.logger)
	x.reportAnswered()
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// requestID is the caller's X-Request-Id, or that of [ProxyInfo], or a new one.
func requestID(r *http.Request) string {
	for _, id := range []string{r.Header.Get("X-Request-Id"), proxyInfoOf(r.Context()).RequestID} {
		other := func(c rune) bool { return !strings.ContainsRune("-_.:/+=@", c) && !isAlphanumeric(c) }
		if id != "" && len(id) <= 128 && !strings.ContainsFunc(id, other) {
			return id
		}
	}
	return rand.Text()
}

func isAlphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
