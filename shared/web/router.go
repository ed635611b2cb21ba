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

// Option is a choice for [Router].
type Option func(*router)

// Log names where requests are logged; without it, slog.Default().
func Log(logger *slog.Logger) Option { return func(rt *router) { rt.logger = logger } }

// Guard names who lets staff pass. It calls next, with [WithCaller] in the request's context, or answers itself with a
// [Problem] of 401 or 403.
func Guard(guard func(next http.Handler) http.Handler) Option {
	return func(rt *router) { rt.guard = guard }
}

// Open lets anybody use the functions for staff: for a server that only this machine can reach, or behind something
// that has already asked.
func Open() Option { return Guard(func(next http.Handler) http.Handler { return next }) }

// closed is the guard where nobody has named one: forgetting it must not open anything.
func closed(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Problem{Status: http.StatusForbidden, Detail: "This is for staff, and no way to tell staff has been set up."}.Write(w, r)
	})
}

// Throttle names who counts requests. It is asked once for each function that is not Watch, stands behind the guard, so
// that [Caller] is known, and calls next or answers with a [Problem] of 429.
func Throttle(throttle func(f Function, next http.Handler) http.Handler) Option {
	return func(rt *router) { rt.throttle = throttle }
}

// Around names what stands before everything else, the router's own answers and the guard too: CORS, for one, whose
// headers must be on each answer. What it answers itself, a success or a [Problem], is logged as the router's.
func Around(around func(next http.Handler) http.Handler) Option {
	return func(rt *router) { rt.around = around }
}

// BehindTLS says that callers come by https alone: answers tell browsers to keep to it (HSTS, RFC 6797).
func BehindTLS() Option { return func(rt *router) { rt.tls = true } }

type router struct {
	mux      *http.ServeMux
	serve    http.Handler // the mux and what stands around it
	logger   *slog.Logger
	guard    func(http.Handler) http.Handler
	throttle func(Function, http.Handler) http.Handler
	around   func(http.Handler) http.Handler
	tls      bool

	observers []Observer
}

// Router serves the functions, and answers everything else itself: 404, 405 with Allow, 307 to the clean spelling of a
// path, 500 for a panic. GET routes answer HEAD too. It logs one line per request, at level debug for a function of Watch
// that goes well, warn for 503, error for 500, otherwise info. Functions for staff are closed to everybody without [Guard] or [Open].
//
// It panics on a table that is wrong: a route that ServeMux refuses or that another function has, or path values
// that the function's handler does not read or misses.
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
		panic(fmt.Sprintf("web: the route %q of %s has the path values %v and its handler reads %v", f.Route, f.Name, names, want))
	}
}

// matched tells the exchange that the mux found a function, so that what it answers is not taken for the mux's own.
type matched struct {
	function Function
	next     http.Handler // its handler and what stands around it
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
	h := w.Header()
	h.Set("X-Request-Id", x.id)
	h["Content-Security-Policy"] = policy
	h["Referrer-Policy"] = noReferrer
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	if rt.tls {
		h["Strict-Transport-Security"] = httpsOnly
	}
	defer rt.finish(x)
	rt.serve.ServeHTTP(x, x.request)
}

// finish logs the request, and answers for a handler that panicked.
func (rt *router) finish(x *exchange) {
	fault := recover()
	cut := fault != nil
	switch {
	case fault == any(http.ErrAbortHandler): // the handler means to cut the connection
	case cut:
		p := events.Recovered(fault)
		x.err, x.stack = p, string(p.Stack)
		if cut = x.status != 0; !cut {
			Problem{Status: http.StatusInternalServerError, Detail: kinds[""].detail}.Write(x, x.request)
		}
	}
	x.log(rt.logger)
	x.tell()
	if cut {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

// requestID takes the caller's own X-Request-Id, or that of [ProxyInfo], or makes one.
func requestID(r *http.Request) string {
	if values := r.Header["X-Request-Id"]; len(values) == 1 && loggableID(values[0]) {
		return values[0]
	}
	if id := proxyInfoOf(r.Context()).RequestID; loggableID(id) {
		return id
	}
	return rand.Text()
}

// loggableID tells whether an id can stand in a log line as it is.
func loggableID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.:/+=@", c) < 0 {
			return false
		}
	}
	return id != "" && len(id) <= 128
}
