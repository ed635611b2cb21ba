package web

import (
	"context"
	"net/http"

	"github.com/sipeat/sipeat/shared/events"
)

// ProxyInfo is what a proxy or gateway in front of the router knows about a request.
type ProxyInfo struct {
	// Prefix is the part of the path that was cut off before the router, such as a base path, "/shop". Routes do not have it;
	// Location and a problem's instance do, so that a caller can follow them. Percent-encoded.
	Prefix string
	// RequestID is the answer's X-Request-Id unless the caller sent one. One that does not fit a log line is ignored.
	RequestID string
}

type proxyInfoKey struct{}

// WithProxyInfo passes info to the router that serves a request under ctx.
func WithProxyInfo(ctx context.Context, info ProxyInfo) context.Context {
	return context.WithValue(ctx, proxyInfoKey{}, &info)
}

func proxyInfoOf(ctx context.Context) ProxyInfo {
	if info, _ := ctx.Value(proxyInfoKey{}).(*ProxyInfo); info != nil {
		return *info
	}
	return ProxyInfo{}
}

// requestPath is the path of a request as its caller sent it, percent-encoded, at most 200 characters.
func requestPath(r *http.Request) string {
	return events.OneLine(proxyInfoOf(r.Context()).Prefix+r.URL.EscapedPath(), 200)
}
