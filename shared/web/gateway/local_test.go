package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

// everything is a request to each kind of route, and the status where it passes.
var everything = map[[2]string]int{
	{"GET", "/contacts"}: 200, {"POST", "/contacts"}: 202, {"GET", "/healthz"}: 200, {"GET", "/readyz"}: 200,
	{"GET", "/metrics"}: 200, {"GET", "/nothing"}: 404, {"PUT", "/contacts"}: 405, {"OPTIONS", "/contacts"}: 405,
}

// withMetrics is a server on loopback as `sipeat serve` starts it.
func withMetrics(s settings.Web) http.Handler {
	g := New(s, (&log{}).logger(), time.Now)
	metrics := web.Function{Name: "metrics", Route: "GET /metrics", Watch: true, Handler: Local(text("metrics"), "Set METRICS.")}
	return web.Router(append(functions(), metrics), g.Options())
}

// Signs of a proxy, of DNS rebinding and of other hosts' pages, without AUTH.
func TestLocal(t *testing.T) {
	h := withMetrics(settings.Web{CORSOrigins: []string{"https://shop.example"}})
	for _, host := range []string{"localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080",
		"[::1]"} {
		for request, status := range everything {
			w := call(h, request[0], request[1], "Host: "+host)
			assert.Equal(t, status, w.Code, "%v %s", request, w.Body)
		}
	}
	for _, bad := range []string{"Host: evil.example", "Host: 192.168.1.7:8080", "Host: localhost.evil.example", "Host: ",
		"Host: [::",
		"Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "x-forwarded-host: sipeat.example",
		"Via: 1.1 varnish",
		"X-Real-IP: 1.2.3.4", "CF-Connecting-IP: 1.2.3.4", "True-Client-IP: 1.2.3.4", "X-Client-IP: 1.2.3.4", "Fly-Client-IP: 1.2.3.4",
		"X-Original-Host: sipeat.example", "CDN-Loop: cloudflare", "X-Amzn-Trace-Id: Root=1", "Tailscale-User-Login: ada",
		"Protocol: HTTP/1.0"} { // nginx 1.22 speaks it and adds no header
		for request := range everything {
			w := call(h, request[0], request[1], bad)
			assert.Contains(t, problem(t, 403, w), "Set AUTH", "%s, %v", bad, request)
			assert.NotEmpty(t, w.Header().Get("X-Request-Id"))
		}
	}
	preflighted := call(h, "OPTIONS", "/contacts", append(preflight, "Origin: "+shop, "Host: evil.example")...)
	problem(t, 403, preflighted)

	assert.Equal(t, 200, call(h, "GET", "/contacts", "Origin: https://shop.example").Code, "the origin is named")
	assert.Equal(t, 200, call(h, "GET", "/contacts", "Origin: http://localhost:3000").Code)
	any := withMetrics(settings.Web{CORSOrigins: []string{"*"}})
	for _, h := range []http.Handler{h, any} {
		for _, origin := range []string{"https://evil.example", "null", "http://localhost.evil.example"} {
			assert.Contains(t, problem(t, 403, call(h, "GET", "/contacts", "Origin: "+origin)), "CORS_ORIGINS")
			assert.Contains(t, problem(t, 403, call(h, "GET", "/metrics", "Origin: "+origin)), "Set METRICS")
			assert.Equal(t, 202, call(h, "POST", "/contacts", "Origin: "+origin).Code, "public routes are subject to CORS only")
		}
	}
	problem(t, 403, call(h, "GET", "/contacts", "Origin: https://shop.example", "Origin: https://evil.example"))
}

// With AUTH, requests through a proxy are allowed, except to /metrics.
func TestProxiedWithAuth(t *testing.T) {
	h := withMetrics(tokenSettings(tokenA))
	for _, sign := range []string{"Host: sipeat.example", "X-Forwarded-For: 1.2.3.4", "Via: 1.1 varnish"} {
		for request, status := range everything {
			w := call(h, request[0], request[1], sign, "Authorization: Bearer "+tokenA)
			if request[1] == "/metrics" {
				assert.Contains(t, problem(t, 403, w), "Set METRICS", sign)
			} else {
				assert.Equal(t, status, w.Code, "%s, %v", sign, request)
			}
		}
	}
	own := OwnName(text("metrics"))
	assert.Equal(t, 200, call(own, "GET", "/metrics", "Via: 1.1 varnish").Code)
	problem(t, 403, call(own, "GET", "/metrics", "Host: evil.example"))
	problem(t, 403, call(own, "GET", "/metrics", "Origin: https://evil.example"))
}
