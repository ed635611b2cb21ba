package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
)

// Local serves callers of this machine only: it refuses requests that a proxy relays, requests for the name of another host
// (a page anywhere can make a browser here send one, by DNS rebinding) and those of other hosts' pages. remedy ends the
// problem's detail: what to set so that others may call.
//
// A proxy that speaks HTTP/1.1, adds no header and puts this server's own address into Host cannot be recognized: where
// such a proxy leads here, Local protects nothing.
func Local(next http.Handler, remedy string) http.Handler {
	return admit(next, notProxied(remedy), ownName(remedy), ownPage(nil, remedy))
}

// OwnName refuses what DNS rebinding and other hosts' pages send to a loopback listener that proxies may use.
func OwnName(next http.Handler) http.Handler { return admit(next, ownName(""), ownPage(nil, "")) }

// rule is one that a request must follow.
type rule struct {
	allows func(*http.Request) bool
	detail string // of the problem, if it does not
}

func admit(next http.Handler, rules ...rule) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, rule := range rules {
			if !rule.allows(r) {
				web.Problem{Status: http.StatusForbidden, Detail: strings.TrimSpace(rule.detail)}.Write(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Headers that proxies, load balancers and tunnels add, as [http.CanonicalHeaderKey] spells them.
var (
	proxyHeaders = []string{"Forwarded", "Via", "Cdn-Loop", "True-Client-Ip", "X-Amzn-Trace-Id", "X-Forwarded",
		"X-Request-Start"}
	proxyPrefixes = []string{"X-Forwarded-", "X-Real-", "X-Client-", "X-Cluster-", "X-Original-", "X-Proxy", "X-Envoy-",
		"X-Azure-", "X-Appengine-", "X-Arr-", "X-Cloud-", "Cf-", "Fastly-", "Fly-", "Akamai-", "Tailscale-", "Ngrok-"}
)

// notProxied looks for such headers and for HTTP/1.0, which nginx before 1.29.7 speaks to its upstream unless it is
// configured otherwise: it adds no header then.
func notProxied(remedy string) rule {
	return rule{func(r *http.Request) bool {
		for name := range r.Header {
			hasPrefix := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
			if slices.Contains(proxyHeaders, name) || slices.ContainsFunc(proxyPrefixes, hasPrefix) {
				return false
			}
		}
		return r.ProtoAtLeast(1, 1)
	}, "A proxy has relayed this request (it is HTTP/1.0 or has a header such as X-Forwarded-For, Forwarded or Via), and only " +
		"callers on this machine are served here. " + remedy}
}

func ownName(remedy string) rule {
	return rule{func(r *http.Request) bool { return loopbackName(r.Host) },
		"Only callers on this machine are served here, and the header Host names another: use localhost or 127.0.0.1. " + remedy}
}

// ownPage takes the pages of this machine and those that are named, and what is no page.
func ownPage(named func(origin string) bool, remedy string) rule {
	return rule{func(r *http.Request) bool {
		return !slices.ContainsFunc(r.Header["Origin"], func(origin string) bool {
			u, err := url.Parse(origin)
			return (err != nil || !loopbackName(u.Host)) && (named == nil || !named(origin))
		})
	}, "Only programs and pages on this machine are served here, and this page is of another origin. " + remedy}
}

func loopbackName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}
