package gateway

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes is a listener whose clients come from where they say.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

func (p *pipes) dial(address string) net.Conn {
	client, server := net.Pipe()
	p.conns <- from{server, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
	return client
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn, 100), make(chan struct{})}
		l := Limit(p, settings.Web{MaxConnections: 8, TrustedProxies: clients{netip.MustParsePrefix("10.0.0.0/8")}})
		accepted := make(chan net.Conn, 100)
		ended := make(chan error, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				accepted <- c
			}
		}()
		come := func(addresses ...string) (conns []net.Conn) {
			for _, a := range addresses {
				p.dial(a)
			}
			synctest.Wait()
			for len(accepted) > 0 {
				conns = append(conns, <-accepted)
			}
			return conns
		}
		one := come("192.0.2.1:1", "192.0.2.1:2")
		require.Len(t, one, 2)
		turnedAway := p.dial("192.0.2.1:3")
		synctest.Wait()
		_, err := turnedAway.Read(make([]byte, 1))
		assert.Error(t, err, "a quarter is for one address")
		assert.Empty(t, come())
		require.Len(t, come("[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"), 2, "of one /64")
		require.NoError(t, one[0].Close())
		_ = one[0].Close() // twice is once
		require.Len(t, come("192.0.2.1:4", "192.0.2.1:5"), 1, "room again")
		require.Len(t, come("10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "127.0.0.1:1"), 4, "a proxy's clients are many")
		assert.Empty(t, come("192.0.2.9:1"), "all places are taken: it waits")
		require.NoError(t, one[1].Close())
		require.Len(t, come(), 1)
		require.NoError(t, l.Close())
		assert.ErrorIs(t, <-ended, net.ErrClosed, "Close ends the waiting")
	})
}

// Where a client still sends what nobody reads, net/http ends its own side first, or the reset could take the answer along.
func TestALimitedConnectionEndsItsOwnSide(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := Limit(inner, settings.Web{MaxConnections: 1})
	defer l.Close()
	client, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	server, err := l.Accept()
	require.NoError(t, err)
	defer server.Close()
	_, err = server.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, server.(interface{ CloseWrite() error }).CloseWrite())
	answer, err := io.ReadAll(client)
	require.NoError(t, err)
	assert.Equal(t, "answer", string(answer))
	_, err = client.Write([]byte("more"))
	assert.NoError(t, err, "the other side is open")
}
