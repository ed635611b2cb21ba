package web

import (
	"context"
	"net/http"
)

// Front is what something in front of the router knows of a request and the request itself does not say.
type Front struct {
	// Prefix stood before the path when the caller sent it, such as an API Gateway's stage, "/prod". Routes do not have it;
	// Location and a problem's instance do, so that a caller can follow them. Percent-encoded.
	Prefix string
	// RequestID is the answer's X-Request-Id unless the caller has sent one. One that no log line can hold counts as none.
	RequestID string
}

type frontKey struct{}

// WithFront makes f known to the router that serves a request under ctx.
func WithFront(ctx context.Context, f Front) context.Context {
	return context.WithValue(ctx, frontKey{}, &f)
}

func frontOf(ctx context.Context) Front {
	if f, _ := ctx.Value(frontKey{}).(*Front); f != nil {
		return *f
	}
	return Front{}
}

// asked is the path of a request as its caller sent it.
func asked(r *http.Request) string { return frontOf(r.Context()).Prefix + r.URL.EscapedPath() }
