package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
)

// local is the guard where nobody is asked who they are, because only this machine can reach the server. A page of anywhere
// can have a browser of this machine reach it, by a name that it points here (DNS rebinding), or where CORS lets
// every origin in; and a proxy of this machine can let the world in. All three show, and do not pass.
func (g *Gateway) local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded := r.Header["X-Forwarded-For"] != nil || r.Header["Forwarded"] != nil
		if forwarded || !loopbackName(r.Host) || !g.ownPage(r.Header["Origin"]) {
			web.Problem{Status: http.StatusForbidden, Detail: "This is for staff, and this server asks nobody who they are: it shows it to programs of its own " +
				"machine, which reach it as localhost or 127.0.0.1. Set AUTH, and a page's origin in CORS_ORIGINS, to let others in."}.Write(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownPage tells whether a page, if it is one, was let in by name or is of this machine too.
func (g *Gateway) ownPage(origin []string) bool {
	if len(origin) == 0 {
		return true
	}
	u, err := url.Parse(origin[0])
	return g.settings.NamesOrigin(origin[0]) || err == nil && loopbackName(u.Host)
}

func loopbackName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}
