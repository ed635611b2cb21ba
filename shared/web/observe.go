package web

import (
	"context"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/trace"
)

// Observer is called before a request is routed. The context that it returns becomes the request's; the function, unless nil,
// is called when the request is answered.
type Observer func(ctx context.Context, r *http.Request) (context.Context, func(Answered))

// Answered is the outcome of a request. It holds no content of the request.
type Answered struct {
	Route   string // of the function, "POST /contacts"; "" = none matched
	Status  int
	EventID string // of the event that the request made; "" = none
	Took    time.Duration
}

// Observe adds an observer. The request's context has its traceparent, see package trace.
func Observe(o Observer) Option {
	return func(rt *router) { rt.observers = append(rt.observers, o) }
}

// traceparent is how net/http spells the header.
var traceparent = http.CanonicalHeaderKey(trace.Header)

// observe is the context of a request with its trace and that of its observers.
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

// reportAnswered calls the observers in reverse order.
func (x *exchange) reportAnswered() {
	a := Answered{Route: x.route, Status: x.status, EventID: x.eventID, Took: time.Since(x.start)}
	for i := len(x.observed) - 1; i >= 0; i-- {
		x.observed[i](a)
	}
}
