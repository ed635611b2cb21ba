package web

import (
	"context"
	"net/http"
)

// Function is one endpoint.
type Function struct {
	Name    string       // such as "create-contact": names the Lambda function, the file and the sample
	Route   string       // "POST /contacts", "GET /contacts/{id}": a [http.ServeMux] pattern, spelt as API Gateway spells it
	Staff   bool         // for staff only; false = public
	Watch   bool         // polled by monitoring: it is not throttled, and its successes are logged at level debug
	Handler http.Handler // of [HandleCommand] or [HandleQuery], or any other
}

type callerKey struct{}

// WithCaller sets the caller of a request: a subject that is stable for the same principal, such as the claim "sub". A
// [Guard] calls it once it has verified the caller.
func WithCaller(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, callerKey{}, subject)
}

// Caller is the subject given to [WithCaller]; "" = anonymous.
func Caller(ctx context.Context) string {
	subject, _ := ctx.Value(callerKey{}).(string)
	return subject
}
