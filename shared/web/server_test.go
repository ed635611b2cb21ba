package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve starts a server on a free port. change may shorten its limits.
func serve(t *testing.T, h http.Handler, change func(*http.Server)) (*http.Server, string) {
	t.Helper()
	srv := Server(h, quiet())
	if change != nil {
		change(srv)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return srv, l.Addr().String()
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(8*time.Second)))
	return c, bufio.NewReader(c)
}

// received is a response that was read to its end.
type received struct {
	StatusCode int
	Close      bool
}

func answer(t *testing.T, r *bufio.Reader) (received, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return received{res.StatusCode, res.Close}, string(body)
}

const head = "POST /requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

// A proxy in front must be the one that closes an idle connection: nginx and AWS's load balancers do after 60 s.
func TestServerLimits(t *testing.T) {
	srv, addr := serve(t, post(accept(nil)), nil)
	assert.Equal(t, 90*time.Second, srv.IdleTimeout)
	c, r := dial(t, addr)
	fmt.Fprintf(c, "%sX-Large: %s\r\n\r\n", head, strings.Repeat("x", maxHeader+5000))
	res, _ := answer(t, r)
	assert.Equal(t, 431, res.StatusCode)
}

func TestTooLargeOnTheWire(t *testing.T) {
	_, addr := serve(t, post(accept(nil)), nil)
	c, r := dial(t, addr)
	fmt.Fprint(c, head+"Content-Length: 65537\r\n\r\n{") // announced: answered without waiting for it
	res, body := answer(t, r)
	assert.Equal(t, 413, res.StatusCode)
	assert.True(t, res.Close)
	assert.Contains(t, body, "Request Entity Too Large")
	_, err := r.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
}

// A client that wants its connection closed, as nginx does by default, can send all of a body that is not read, and then read
// the answer.
func TestBodyIsReadBeforeTheConnectionIsClosed(t *testing.T) {
	_, addr := serve(t, post(accept(nil)), nil)
	body := strings.Repeat(" ", 4<<20) // more than the buffers of a connection
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for request, status := range map[string]int{head + "Connection: close\r\n" + length: 413,
		head + "Connection: close\r\n" + chunked: 413, head + "Content-Type: x/y\r\nConnection: close\r\n" + length: 415,
		"POST /nothing HTTP/1.0\r\nHost: x\r\n" + length: 404} {
		c, r := dial(t, addr)
		_, err := fmt.Fprint(c, request)
		require.NoError(t, err)
		res, _ := answer(t, r)
		assert.Equal(t, status, res.StatusCode)
	}
}

func TestSlowClients(t *testing.T) {
	short := func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = 50*time.Millisecond, 100*time.Millisecond }
	_, addr := serve(t, post(accept(nil)), short)
	var conns []*bufio.Reader
	for range 50 {
		c, r := dial(t, addr)
		fmt.Fprint(c, "POST /requests HTTP/1.1\r\nHost: x\r\nX-Slow")
		conns = append(conns, r)
	}
	body, br := dial(t, addr)
	fmt.Fprint(body, head+"Content-Length: 20\r\n\r\n{\"name\":")
	res, err := http.Post("http://"+addr+"/requests", "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, 202, res.StatusCode, "others are served meanwhile")
	for _, r := range conns {
		_, err := io.ReadAll(r)
		assert.NoError(t, err, "closed by the server")
	}
	late, text := answer(t, br)
	assert.Equal(t, 408, late.StatusCode)
	assert.True(t, late.Close)
	assert.Contains(t, text, "did not arrive in time")
}

// A client that leaves while the handler works ends the handler's context, and is no error.
func TestClientGoneInTheHandler(t *testing.T) {
	logger, log := logged()
	working, served := make(chan struct{}), make(chan struct{})
	inner := Router([]Function{{Route: "POST /requests", Handler: HandleCommand(func(ctx context.Context,
		_ Command[events.Request]) (Accepted, error) {
		close(working)
		<-ctx.Done()
		return Accepted{}, events.Wrap(events.Unavailable, ctx.Err(), "given up")
	})}}, Options{Logger: logger})
	_, addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		inner.ServeHTTP(w, r)
	}), nil)
	c, _ := dial(t, addr)
	fmt.Fprint(c, head+"Content-Length: 2\r\n\r\n{}")
	<-working
	c.Close()
	<-served
	assert.Contains(t, log.String(), `"level":"INFO"`)
	assert.Contains(t, log.String(), `"status":499`)
}

// Shutdown ends the waits of Prefer.
func TestShutdownEndsWaits(t *testing.T) {
	asked := make(chan struct{}, 1000)
	srv, addr := serve(t, routed(Function{Route: "GET /things/{id}", Handler: HandleQuery(func(context.Context, byID) (int, error) {
		asked <- struct{}{}
		return 0, events.Errorf(events.NotFound, "there is no such thing")
	})}), nil)
	c, r := dial(t, addr)
	fmt.Fprint(c, "GET /things/1 HTTP/1.1\r\nHost: x\r\nPrefer: wait=20\r\n\r\n")
	<-asked
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(t, srv.Shutdown(ctx))
	res, _ := answer(t, r)
	assert.Equal(t, 404, res.StatusCode)
}
