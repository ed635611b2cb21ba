package program

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// What `sipeat serve` prints is true, and plain in a pipe: no colours, no progress bars.
func TestServePrintsItsRoutesTopicsAndAnExample(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.Says(s.Stdout, "Ctrl-C stops it.")
	said := s.Stdout.String()

	routes := regexp.MustCompile(`(?m)^(GET|POST) (/\S+) +\S+$`).FindAllStringSubmatch(said, -1)
	assert.Len(t, routes, 13)
	for _, r := range routes {
		want := http.StatusOK
		switch {
		case strings.Contains(r[2], "{id}"):
			want = http.StatusNotFound
		case r[1] == http.MethodPost:
			want = http.StatusUnsupportedMediaType // no body was sent
		}
		assert.Equal(t, want, Call(t, r[1], s.URL+strings.ReplaceAll(r[2], "{id}", "nobody"), "").Status, r[0])
	}
	topics, err := kadm.NewClient(client(t, s.Kafka)).ListTopics(Within(t))
	require.NoError(t, err)
	for topic, group := range Groups {
		assert.Regexp(t, `(?m)^`+topic+` +6 +`+group+` +\S`, said)
		assert.Len(t, topics[topic].Partitions, 6, topic)
		assert.Contains(t, topics, topic+".dead-letters")
	}
	line := regexp.MustCompile(`(?m)^  curl -i (\S+) -H '([^']+)' -d '([^']+)'$`).FindStringSubmatch(said)
	require.NotNil(t, line, said)
	a := Call(t, "POST", line[1], line[3], line[2])
	assert.Equal(t, http.StatusAccepted, a.Status, a.Body)
	s.Readable("/contacts", Decoded[Accepted](t, a.Body).ID)

	published := s.publish("contact-created", AContact+"\nx").Stderr
	assert.NotContains(t, said+s.Stderr.String()+published+Run(t, "", "unknown").Stderr, "\x1b")
	assert.NotContains(t, published, "\r")
}

// A flag wins over the environment, the environment over the file .env.
func TestServeSettingsHaveAnOrder(t *testing.T) {
	t.Parallel()
	c := command(t, "serve", "--http", "127.0.0.1:0")
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, ".env"),
		[]byte("SIPEAT_HTTP=0.0.0.0:1\nSIPEAT_KAFKA=0.0.0.0:1\nSIPEAT_DATA=from-file\n"), 0o600))
	c.Env = append(c.Env, "SIPEAT_HTTP=0.0.0.0:2", "SIPEAT_KAFKA=127.0.0.1:0")
	(&Serving{Process: Start(t, c)}).Ready()
	assert.DirExists(t, filepath.Join(c.Dir, "from-file"))
	entries, err := os.ReadDir(c.Dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "all data is in one folder")
}

// A script reads the addresses with `sipeat serve | head -1`.
func TestServeContinuesWhenItsOutputIsClosed(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	c := command(t, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", t.TempDir())
	c.Stdout = write
	require.NoError(t, c.Start())
	t.Cleanup(func() { c.Process.Kill() })
	write.Close()
	line, err := bufio.NewReaderSize(read, 16).ReadString('\n')
	require.NoError(t, err)
	read.Close()
	match := readyLine.FindStringSubmatch(line)
	require.NotNil(t, match, line)
	a, err := Try("POST", match[1]+"/contacts", AContact)
	require.NoError(t, err, "the process has ended")
	assert.Equal(t, http.StatusAccepted, a.Status)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, c.Wait())
}

// connection is a client that can send a request in pieces.
type connection struct {
	net.Conn
	t      testing.TB
	reader *bufio.Reader
}

func (s *Serving) dial(request string) *connection {
	s.T.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	require.NoError(s.T, err)
	s.T.Cleanup(func() { c.Close() })
	_, err = c.Write([]byte(request))
	require.NoError(s.T, err)
	return &connection{c, s.T, bufio.NewReader(c)}
}

// answered returns the status of the next answer.
func (c *connection) answered() int {
	c.t.Helper()
	got, err := http.ReadResponse(c.reader, nil)
	require.NoError(c.t, err)
	got.Body.Close()
	return got.StatusCode
}

// beginPost sends the header and half the body of a contact; the handler waits for the rest.
func (s *Serving) beginPost() *connection {
	s.T.Helper()
	c := s.dial(fmt.Sprintf("POST /contacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"+
		"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(AContact)))
	require.Equal(s.T, http.StatusContinue, c.answered())
	_, err := c.Write([]byte(AContact[:50]))
	require.NoError(s.T, err)
	return c
}

// completePost sends the rest and returns the status of the answer.
func (c *connection) completePost() int {
	c.t.Helper()
	_, err := c.Write([]byte(AContact[50:]))
	require.NoError(c.t, err)
	return c.answered()
}

// beginWait sends a request that waits for a contact.
func (s *Serving) beginWait() *connection {
	s.T.Helper()
	return s.dial("GET /contacts/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=20\r\n\r\n")
}

// On a signal, requests in flight are answered, then the parts stop in the order of their dependencies.
func TestServeDrainsInOrder(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	var waiting []*connection
	for range 8 {
		waiting = append(waiting, s.beginWait())
	}
	half := s.beginPost()
	Call(t, "GET", s.URL+"/healthz", "")
	s.Signal(syscall.SIGTERM)
	s.Says(s.Stderr, "ending API")
	for _, w := range waiting { // net/http closes a connection whose header it has not read yet
		if got, err := http.ReadResponse(w.reader, nil); err == nil {
			got.Body.Close()
			assert.Equal(t, http.StatusNotFound, got.StatusCode, "a wait ends with the present answer")
		}
	}
	assert.Equal(t, http.StatusAccepted, half.completePost(), "a request in flight is answered")
	assert.Equal(t, 0, s.Wait())
	var order []string
	for _, line := range Lines(s.Stderr.String()) { // no terminal: each is JSON
		if part, ending := strings.CutPrefix(Decoded[struct{ Msg string }](t, line).Msg, "ending "); ending {
			order = append(order, part)
		}
	}
	assert.Equal(t, []string{"API", "consumers", "dead letters", "publisher", "delivery claims", "read model", "broker"}, order)
	assert.Len(t, Records(t, serve(t, data).Kafka, "contact-created"), 1, "an answered request is kept")
}

// A second Ctrl-C kills; two signals at the same moment count as one, since `timeout` signals the process and then its group.
func TestServeStopsAtOnceOnASecondSignal(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.beginPost() // never completed: the drain would take its whole time
	s.Signal(os.Interrupt)
	s.Says(s.Stderr, "ending API")
	Until(t, func() error {
		_ = s.Cmd.Process.Signal(os.Interrupt)
		return ErrorUnless(!s.Running(), "it runs")
	})
	assert.Equal(t, -1, s.Wait(), "killed by the signal")
	assert.NotContains(t, s.Stderr.String(), "ending consumers")

	s = serve(t, t.TempDir())
	s.Signal(os.Interrupt)
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	assert.Equal(t, 0, s.Wait(), s.Stderr)
}

func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	top := Run(t, "", "help")
	assert.Equal(t, 0, top.Status)
	for _, name := range []string{"serve", "api", "worker", "topics", "doctor", "publish", "tail", "version"} {
		assert.Contains(t, top.Stdout, "  "+name+" ")
		assert.Contains(t, Run(t, "", name, "--help").Stdout, "Examples:\n  sipeat "+name)
	}
	assert.Regexp(t, `^sipeat \S+ (\S+ )?go1\.\S+ \w+/\w+\n$`, Run(t, "", "version").Stdout)
	assert.Contains(t, Run(t, "", "__complete", "publish", "").Stdout, "contact-created")
}
