package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// clients tells who sent a request: the peer, or, if that is one of these proxies, who they say it was.
type clients []netip.Prefix

// of is the client's address; an IPv6 client is its /64, the least that one is given (RFC 6177).
func (c clients) of(r *http.Request) netip.Prefix {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{} // no network, such as a unix socket: all are one
	}
	client := peer.Addr()
	if len(c) > 0 {
		client = c.behind(client, r.Header["X-Forwarded-For"])
	}
	return network(client)
}

// behind reads X-Forwarded-For from its end, where our own proxies write. The first address that is none of theirs is the
// client's; what stands before it is what the client wrote.
func (c clients) behind(client netip.Addr, headers []string) netip.Addr {
	for i := len(headers) - 1; i >= 0; i-- {
		for rest, more := headers[i], true; more; {
			if !c.trusts(client) {
				return client
			}
			hop := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				more = false
			}
			next, err := hopAddress(strings.TrimSpace(hop))
			if err != nil {
				return client
			}
			client = next
		}
	}
	return client
}

// hopAddress takes an address with or without a port: some proxies write one.
func hopAddress(hop string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(strings.Trim(hop, "[]"))
}

func (c clients) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range c {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // an address that was parsed has so many
	return p
}
