package kafka_test

import (
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// silence simulates a broker stopped by SIGSTOP: connections stay open without answers.
type silence struct {
	mu             sync.Mutex
	wake           sync.Cond
	on             bool
	accepted, dead int // connections, and how many of those have died
}

// fakeWithSilence is a kfake that can be stopped and resumed.
func fakeWithSilence(t *testing.T) (*broker, *silence) {
	s := &silence{}
	s.wake.L = &s.mu
	b := fake(t, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		listener, err := net.Listen(network, address)
		return silenced{listener, s}, err
	}))
	t.Cleanup(func() { s.set(false) })
	return b, s
}

func (s *silence) set(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
	s.wake.Broadcast()
}

// kill makes the open connections die silently: nothing more is read from them.
func (s *silence) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = s.accepted
}

func (s *silence) revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = 0
	s.wake.Broadcast()
}

type silenced struct {
	net.Listener
	*silence
}

func (l silenced) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted++
	return silencedConn{conn, l.silence, l.accepted}, err
}

type silencedConn struct {
	net.Conn
	silence *silence
	number  int
}

// Read blocks while the broker is stopped.
func (c silencedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.silence.mu.Lock()
	defer c.silence.mu.Unlock()
	for c.silence.on || c.number <= c.silence.dead {
		c.silence.wake.Wait()
	}
	return n, err
}

// cut is a broker that can be made unreachable: open connections are closed and new ones fail.
type cut struct {
	mu    sync.Mutex
	on    bool
	conns []net.Conn
}

func fakeWithCut(t *testing.T) (*broker, *cut) {
	c := &cut{}
	b := fake(t, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		listener, err := net.Listen(network, address)
		return cutListener{listener, c}, err
	}))
	return b, c
}

func (c *cut) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

type cutListener struct {
	net.Listener
	cut *cut
}

func (l cutListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.cut.mu.Lock()
		defer l.cut.mu.Unlock()
		l.cut.conns = append(l.cut.conns, conn)
		if l.cut.on {
			_ = conn.Close()
		}
	}
	return conn, err
}
