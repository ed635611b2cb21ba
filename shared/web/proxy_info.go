package web

import (
	"context"
	"net/http"
)

// ProxyInfo is what something in front of the router knows of a request and the request itself does not say.
type ProxyInfo struct {
	// Prefix stood before the path when the caller sent it, such as an API Gateway's stage, "/prod". Routes do not have it;
	// Location and a problem's instance do, so that a caller can follow them. Percent-encoded.
	Prefix string
	// RequestID is the answer's X-Request-Id unless the caller has sent one. One that no log line can hold counts as none.
	RequestID string
}

type proxyInfoKey struct{}

// WithProxyInfo makes f known to the router that serves a request under ctx.
func WithProxyInfo(ctx context.Context, f ProxyInfo) context.Context {
	return context.WithValue(ctx, proxyInfoKey{}, &f)
}

func proxyInfoOf(ctx context.Context) ProxyInfo {
	if f, _ := ctx.Value(proxyInfoKey{}).(*ProxyInfo); f != nil {
		return *f
	}
	return ProxyInfo{}
}

// requestPath is the path of a request as its caller sent it, percent-encoded.
func requestPath(r *http.Request) string {
	return proxyInfoOf(r.Context()).Prefix + r.URL.EscapedPath()
}
