package program

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"
)

// connection is a client that can send a request in pieces.
type connection struct {
	net.Conn
	s      *Serving
	reader *bufio.Reader
	rest   string // of the request begun
}

func (s *Serving) dial() *connection {
	s.T.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	require.NoError(s.T, err)
	s.T.Cleanup(func() { c.Close() })
	return &connection{Conn: c, s: s, reader: bufio.NewReader(c)}
}

func (c *connection) send(text string) {
	c.s.T.Helper()
	_, err := c.Write([]byte(text))
	require.NoError(c.s.T, err)
}

// answered returns the status of the next answer.
func (c *connection) answered() int {
	c.s.T.Helper()
	got, err := http.ReadResponse(c.reader, nil)
	require.NoError(c.s.T, err)
	got.Body.Close()
	return got.StatusCode
}

// beginPost sends the header and half the body of a contact; the handler waits for the rest.
func (s *Serving) beginPost() *connection {
	s.T.Helper()
	c := s.dial()
	c.send(fmt.Sprintf("POST /contacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"+
		"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(AContact)))
	require.Equal(s.T, http.StatusContinue, c.answered())
	half := len(AContact) / 2
	c.send(AContact[:half])
	c.rest = AContact[half:]
	return c
}

// completePost sends the rest and returns the status of the answer.
func (c *connection) completePost() int {
	c.s.T.Helper()
	c.send(c.rest)
	return c.answered()
}
