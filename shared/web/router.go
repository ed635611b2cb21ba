package web

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
)

// Function is one endpoint.
type Function struct {
	Name    string       // such as "create-contact": names the Lambda function, the file and the sample
	Route   string       // "POST /contacts", "GET /contacts/{id}": a [http.ServeMux] pattern, spelt as API Gateway spells it
	Summary string       // what it does, in one sentence, for documents
	Staff   bool         // for staff only; false = public
	Watch   bool         // polled by monitoring: it is not throttled, and its successes are logged at level debug
	Handler http.Handler // of [HandleCommand] or [HandleQuery], or any other

	// Page, if set, answers instead of Handler what does not accept application/json: browsers that open the path. It is public
	// and not throttled whatever the other fields are, so it must hold no data.
	Page http.Handler
}

// Options configure a [Router].
type Options struct {
	Logger *slog.Logger // of requests
	// Guard wraps the functions for staff. It calls next with [WithCaller] in the request's context, or answers with a
	// [Problem] of 401 or 403. nil = they are closed: forgetting it must not open anything.
	Guard func(next http.Handler) http.Handler
	// Throttle wraps each function that is not Watch, inside Guard, so that [Caller] is known. It calls next or answers with a
	// [Problem] of 429. nil = no rate limit.
	Throttle func(f Function, next http.Handler) http.Handler
	// Around wraps everything else, Guard and the router's own answers included: CORS, for one, whose headers must be on each
	// answer. It may answer itself, with a success or a [Problem]. nil = nothing.
	Around    func(next http.Handler) http.Handler
	Observers []Observer
	BehindTLS bool // reached only by https: responses instruct browsers to use only that (HSTS, RFC 6797)
}

// Observer is called before a request is routed, with its traceparent in the context (see package trace). The context that it
// returns becomes the request's; the function, unless nil, is called when the request is answered.
type Observer func(ctx context.Context, r *http.Request) (context.Context, func(Answered))

// Answered is the outcome of a request. It holds no content of the request.
type Answered struct {
	Route   string // of the function, "POST /contacts"; "" = none matched
	Status  int
	EventID string // of the event that the request made; "" = none
	Took    time.Duration
}

type router struct {
	Options
	mux   *http.ServeMux
	serve http.Handler // the mux, inside Around
}

// Router serves the functions and answers all other requests itself: 404, 405 with Allow, 307 to the clean spelling of a path,
// 500 for a panic. GET routes answer HEAD too. It logs one line per request: at level error for 500, warn for 503, debug for
// successes of Watch functions, otherwise info.
//
// It panics on a route that ServeMux refuses or that is there twice.
func Router(functions []Function, options Options) http.Handler {
	rt := &router{Options: options, mux: http.NewServeMux()}
	for _, f := range functions {
		handler := f.Handler
		if rt.Throttle != nil && !f.Watch {
			handler = rt.Throttle(f, handler)
		}
		switch {
		case f.Staff && rt.Guard == nil:
			handler = http.HandlerFunc(closed)
		case f.Staff:
			handler = rt.Guard(handler)
		}
		if f.Page != nil {
			handler = pageOr(f.Page, handler)
		}
		rt.mux.Handle(f.Route, matched{f, handler})
	}
	rt.serve = http.HandlerFunc(rt.route)
	if rt.Around != nil {
		rt.serve = rt.Around(rt.serve)
	}
	return rt
}

func pageOr(page, data http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if strings.Contains(strings.Join(r.Header["Accept"], ","), "application/json") {
			data.ServeHTTP(w, r)
		} else {
			page.ServeHTTP(w, r)
		}
	})
}

func closed(w http.ResponseWriter, r *http.Request) {
	Problem{Status: http.StatusForbidden, Detail: "This is for staff, and no authentication is configured."}.Write(w, r)
}

type matched struct {
	function Function
	next     http.Handler // its handler, inside guard and throttle
}

func (m matched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	exchangeOf(r.Context()).function = m.function
	m.next.ServeHTTP(w, r)
}

// unmatched are the details of the mux's own answers.
var unmatched = map[int]string{
	http.StatusNotFound:          "No such path; check its spelling, and leave out a trailing slash.",
	http.StatusMethodNotAllowed:  "This path does not accept this method; the header Allow lists those that it does.",
	http.StatusTemporaryRedirect: "The path has a simpler spelling; send the request to the URL in the header Location.",
	http.StatusBadRequest:        "The request cannot be routed; check method and path.",
}

// route replaces an answer of the mux itself by a problem.
func (rt *router) route(w http.ResponseWriter, r *http.Request) {
	handler, _ := rt.mux.Handler(r)
	if _, ok := handler.(matched); ok {
		rt.mux.ServeHTTP(w, r)
		return
	}
	own := muxAnswer{header: w.Header()}
	rt.mux.ServeHTTP(&own, r)
	if to := w.Header().Get("Location"); to != "" {
		w.Header().Set("Location", prefixOf(r.Context())+to)
	}
	Problem{Status: own.status, Detail: unmatched[own.status]}.Write(w, r)
}

type muxAnswer struct {
	header http.Header
	status int
}

func (a *muxAnswer) Header() http.Header         { return a.header }
func (a *muxAnswer) WriteHeader(status int)      { a.status = status }
func (a *muxAnswer) Write(b []byte) (int, error) { return len(b), nil }

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, start: time.Now(), id: r.Header.Get("X-Request-Id")}
	if x.id == "" || len(x.id) > 128 || strings.Trim(x.id, idCharacters) != "" {
		x.id = rand.Text()
	}
	ctx := r.Context()
	if parent, ok := trace.Parse(r.Header.Get(trace.Header)); ok {
		ctx = trace.With(ctx, parent)
	}
	var observed []func(Answered)
	for _, observe := range rt.Observers {
		var end func(Answered)
		if ctx, end = observe(ctx, r); end != nil {
			observed = append(observed, end)
		}
	}
	r = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	defer rt.finish(x, r, observed)
	x.setPolicies(rt.BehindTLS)
	rt.serve.ServeHTTP(x, r)
	if x.status == 0 {
		x.status = http.StatusOK // net/http's own, for a handler that wrote nothing
	}
}

// finish answers for a handler that panicked, and logs the request. A partial answer must not look complete, so its connection
// is cut, as http.ErrAbortHandler wants it.
func (rt *router) finish(x *exchange, r *http.Request, observed []func(Answered)) {
	fault := recover()
	cut := fault != nil
	if cut && fault != any(http.ErrAbortHandler) {
		p := events.Recovered(fault)
		x.cause, x.stack = p.Error(), string(p.Stack)
		if cut = x.status != 0; !cut {
			unknown.Write(x, r)
		}
	}
	x.log(rt.Logger, r)
	for _, end := range observed {
		end(Answered{Route: x.function.Route, Status: x.status, EventID: x.eventID, Took: time.Since(x.start)})
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
	readRest(x, r)
}

// readRest reads what is left of a body, for a second, if the client wants its connection closed: net/http does not, and what was
// not read would make the close a reset, which overtakes the answer.
func readRest(w http.ResponseWriter, r *http.Request) {
	if r.Close && r.ContentLength != 0 && r.Header.Get("Expect") == "" {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// idCharacters are those of an X-Request-Id that fits a log line.
const idCharacters = "-_.:/+=@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
