package gateway

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/go-chi/chi/v5/middleware"
)

// clientIP finds the client's address for clientNetwork: the peer's, or if that is a trusted proxy, what the proxies say in
// X-Forwarded-For.
func clientIP(trusted []netip.Prefix) func(http.Handler) http.Handler {
	if len(trusted) == 0 {
		return middleware.ClientIPFromRemoteAddr
	}
	prefixes := make([]string, len(trusted))
	for i, p := range trusted {
		prefixes[i] = p.String()
	}
	fromXFF := middleware.ClientIPFromXFF(prefixes...)
	return func(next http.Handler) http.Handler { return bareHops(fromXFF(next)) }
}

// bareHops removes the ports that some proxies, such as Azure's, write behind the addresses in X-Forwarded-For.
func bareHops(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i, value := range r.Header["X-Forwarded-For"] {
			hops := strings.Split(value, ",")
			for j, hop := range hops {
				hops[j] = strings.Trim(hop, " []")
				if withPort, err := netip.ParseAddrPort(strings.TrimSpace(hop)); err == nil {
					hops[j] = withPort.Addr().String()
				}
			}
			r.Header["X-Forwarded-For"][i] = strings.Join(hops, ",")
		}
		next.ServeHTTP(w, r)
	})
}

// clientNetwork is the client's address; of an IPv6 client its /64, the least that a site gets (RFC 6177). If the
// proxies' header cannot be parsed, it is the peer's; on a unix socket all clients are one.
func clientNetwork(r *http.Request) netip.Prefix {
	client := middleware.GetClientIPAddr(r.Context())
	if !client.IsValid() {
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		client = peer.Addr().Unmap()
	}
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	network, _ := client.WithZone("").Prefix(bits) // the zero Prefix of an invalid address
	return network
}
