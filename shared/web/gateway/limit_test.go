package gateway

import (
	"io"
	"net"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server with all the connections that it may have serves the next client when one leaves.
func TestLimitOfConnections(t *testing.T) {
	server := httptest.NewUnstartedServer(newRouter(settings.Web{}, newClock()))
	server.Listener = Limit(server.Listener, settings.Web{MaxConnections: 2})
	server.Start()
	defer server.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(8*time.Second)))
		_, err = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		require.NoError(t, err)
		return c
	}
	status := func(c net.Conn) string {
		line := make([]byte, len("HTTP/1.1 200"))
		_, err := io.ReadFull(c, line)
		require.NoError(t, err)
		return string(line[len("HTTP/1.1 "):])
	}
	one, two := dial(), dial()
	defer two.Close()
	assert.Equal(t, "200", status(one))
	assert.Equal(t, "200", status(two))
	three := dial()
	defer three.Close()
	require.NoError(t, three.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := three.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it waits")
	one.Close()
	require.NoError(t, three.SetReadDeadline(time.Now().Add(8*time.Second)))
	assert.Equal(t, "200", status(three))
}
