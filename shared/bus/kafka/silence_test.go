package kafka_test

import (
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// silence is a broker that was stopped with SIGSTOP: connections stay, nobody answers.
type silence struct {
	mu   sync.Mutex
	wake sync.Cond
	on   bool
}

// fakeWithSilence is kfake that can be stopped and goes on again.
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

type silenced struct {
	net.Listener
	*silence
}

func (l silenced) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return silencedConn{conn, l.silence}, err
}

type silencedConn struct {
	net.Conn
	silence *silence
}

// Read gives the broker nothing while it is stopped.
func (c silencedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.silence.mu.Lock()
	defer c.silence.mu.Unlock()
	for c.silence.on {
		c.silence.wake.Wait()
	}
	return n, err
}
