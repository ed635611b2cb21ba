package web

import (
	"context"
	"net/http"
)

// Function is one endpoint.
type Function struct {
	Name    string       // such as "create-contact": names the Lambda function, the file and the sample
	Route   string       // "POST /contacts", "GET /contacts/{id}": a [http.ServeMux] pattern, spelt as API Gateway spells it
	Staff   bool         // for staff only; false = anybody may call
	Watch   bool         // what watches the server asks for it every few seconds: it is not throttled, and not logged above level debug while it goes well
	Handler http.Handler // made by [HandleCommand] or [HandleQuery], or any other
}

type callerKey struct{}

// WithCaller says who calls: a subject that is stable for the same principal, such as the claim "sub". It is for a
// [Guard] to call once it has proven it. A request without one is anybody's.
func WithCaller(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, callerKey{}, subject)
}

// Caller is the subject given to [WithCaller]; "" = anybody.
func Caller(ctx context.Context) string {
	subject, _ := ctx.Value(callerKey{}).(string)
	return subject
}
