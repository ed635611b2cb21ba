package kafka_test

import (
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// network is the way to a broker.
type network struct {
	net.Listener
	mu     sync.Mutex
	wake   sync.Cond
	silent bool // connections stay open without answers, as those of a broker stopped by SIGSTOP
	cut    bool // open connections are closed, and new ones fail
	muted  bool // answers are lost
	conns  []*conn
}

type conn struct {
	net.Conn
	*network
	dead bool // silently: nothing more is read from it
}

func fakeWithNetwork(t *testing.T) (*broker, *network) {
	n := &network{}
	n.wake.L = &n.mu
	b := fake(t, kfake.ListenFn(func(network, address string) (_ net.Listener, err error) {
		n.Listener, err = net.Listen(network, address)
		return n, err
	}))
	t.Cleanup(func() { n.set(false, false, false) })
	return b, n
}

// set changes the network; dead applies to the connections that are open now.
func (n *network) set(silent, cut, dead bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent, n.cut = silent, cut
	for _, c := range n.conns {
		c.dead = dead
		if cut {
			_ = c.Conn.Close()
		}
	}
	n.wake.Broadcast()
}

func (n *network) mute(muted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.muted = muted
}

func (n *network) Accept() (net.Conn, error) {
	accepted, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &conn{Conn: accepted, network: n}
	n.conns = append(n.conns, c)
	if n.cut {
		_ = accepted.Close()
	}
	return c, nil
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.silent || c.dead {
		c.wake.Wait()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	muted := c.muted
	c.mu.Unlock()
	if muted {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error { return c.Conn.Close() }
