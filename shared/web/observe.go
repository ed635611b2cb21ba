package web

import (
	"context"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/trace"
)

// Observer is called before a request is routed. The context that it returns is the request's; what it returns beside it
// is called when the request is answered, unless it is nil.
type Observer func(ctx context.Context, r *http.Request) (context.Context, func(Answered))

// Answered tells how a request was answered. It holds nothing of what the request says.
type Answered struct {
	Route   string // of the function, "POST /contacts"; "" = none was found
	Status  int
	EventID string // of the event that it is about; "" = none
	Took    time.Duration
}

// Observe adds an observer. A request's traceparent is in its context already, see package trace.
func Observe(o Observer) Option {
	return func(rt *router) { rt.observers = append(rt.observers, o) }
}

// traceparent is how net/http spells the header.
var traceparent = http.CanonicalHeaderKey(trace.Header)

// observe is the context of a request under its trace and its observers.
func (rt *router) observe(x *exchange, r *http.Request) context.Context {
	ctx := r.Context()
	if values := r.Header[traceparent]; len(values) == 1 {
		if parent, ok := trace.Parse(values[0]); ok {
			ctx = trace.With(ctx, parent)
		}
	}
	for _, o := range rt.observers {
		var end func(Answered)
		if ctx, end = o(ctx, r); end != nil {
			x.observed = append(x.observed, end)
		}
	}
	return ctx
}

// tell tells the observers.
func (x *exchange) tell() {
	if len(x.observed) == 0 {
		return
	}
	a := Answered{Route: x.route, Status: x.status, EventID: x.eventID, Took: time.Since(x.start)}
	for i := len(x.observed) - 1; i >= 0; i-- {
		x.observed[i](a)
	}
}
