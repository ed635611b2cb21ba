package gateway

import (
	"net"
	"net/netip"
	"sync"

	"github.com/sipeat/sipeat/shared/settings"
)

// Limit bounds the connections that are open at the same time: s.MaxConnections in all, beyond which new ones wait in the
// kernel's queue, and a quarter of that from one address, beyond which they are closed at once. So a client that
// holds connections as slowly as [web.Server] lets it leaves room for others. Proxies that are trusted and this machine
// bring many clients, and have the whole.
func Limit(l net.Listener, s settings.Web) net.Listener {
	return &limited{Listener: l, each: max(s.MaxConnections/4, 1), trusted: s.TrustedProxies,
		slots: make(chan struct{}, s.MaxConnections), closed: make(chan struct{}), open: map[netip.Prefix]int{}}
}

type limited struct {
	net.Listener
	each    int
	trusted clients
	slots   chan struct{}
	once    sync.Once
	closed  chan struct{}

	mu   sync.Mutex
	open map[netip.Prefix]int
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		client, counted := l.client(c)
		if !counted || l.enter(client) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() {
				if counted {
					l.exit(client)
				}
				<-l.slots
			})}, nil
		}
		_ = c.Close()
	}
}

// Close also ends an Accept that waits for room.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *limited) client(c net.Conn) (netip.Prefix, bool) {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil || peer.Addr().Unmap().IsLoopback() || l.trusted.trusts(peer.Addr()) {
		return netip.Prefix{}, false
	}
	return network(peer.Addr()), true
}

func (l *limited) enter(client netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client] >= l.each {
		return false
	}
	l.open[client]++
	return true
}

func (l *limited) exit(client netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client]--; l.open[client] == 0 {
		delete(l.open, client)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

// CloseWrite is how net/http tells a client that is still sending that its answer is whole, before it resets the connection.
func (c *limitedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return nil
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
