package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
)

// Local serves callers of this machine only: it refuses requests that a proxy relays, requests for the name of another host
// (a page anywhere can make a browser here send one, by DNS rebinding) and those of other hosts' pages. remedy ends the
// problem's detail: what to set so that others may call.
//
// A proxy that speaks HTTP/1.1, adds no header and puts this server's own address into Host cannot be recognized: where
// such a proxy forwards requests here, Local protects nothing.
func Local(next http.Handler, remedy string) http.Handler {
	return admit(next, remedy, notProxied, ownName, ownPage(nil))
}

// OwnName refuses what DNS rebinding and other hosts' pages send to a loopback listener that proxies may use.
func OwnName(next http.Handler) http.Handler { return admit(next, "", ownName, ownPage(nil)) }

// rule returns why a request is refused; "" = it is not.
type rule func(*http.Request) string

func admit(next http.Handler, remedy string, rules ...rule) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, refused := range rules {
			if why := refused(r); why != "" {
				web.Problem{Status: http.StatusForbidden,
					Detail: "Only callers on this machine are served here: " + why + ". " + remedy}.Write(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// proxyHeaders begin the headers that proxies, load balancers and tunnels add, as [http.CanonicalHeaderKey] spells them.
var proxyHeaders = []string{"Forwarded", "Via", "Cdn-Loop", "True-Client-Ip", "X-Amzn-Trace-Id", "X-Forwarded", "X-Request-Start",
	"X-Real-", "X-Client-", "X-Cluster-", "X-Original-", "X-Proxy", "X-Envoy-", "X-Azure-", "X-Appengine-", "X-Arr-", "X-Cloud-",
	"Cf-", "Fastly-", "Fly-", "Akamai-", "Tailscale-", "Ngrok-"}

// notProxied looks for such headers and for HTTP/1.0, which nginx before 1.29.7 speaks to its upstream unless it is
// configured otherwise: it adds no header then.
func notProxied(r *http.Request) string {
	proxied := !r.ProtoAtLeast(1, 1)
	for name := range r.Header {
		proxied = proxied || slices.ContainsFunc(proxyHeaders, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	}
	if proxied {
		return "a proxy has relayed this request (it is HTTP/1.0 or has a header such as X-Forwarded-For, Forwarded or Via)"
	}
	return ""
}

func ownName(r *http.Request) string {
	if settings.IsLoopback(r.Host) {
		return ""
	}
	return "the header Host names another host; use localhost or 127.0.0.1"
}

// ownPage admits pages of this machine, pages of listed origins, and requests that are not from a page.
func ownPage(listed []string) rule {
	return func(r *http.Request) string {
		for _, origin := range r.Header["Origin"] {
			u, err := url.Parse(origin)
			if (err != nil || !settings.IsLoopback(u.Host)) && !slices.Contains(listed, origin) {
				return "this page is of another origin"
			}
		}
		return ""
	}
}
