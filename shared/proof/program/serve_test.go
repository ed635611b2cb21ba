package program

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestServeSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.Says(s.Stdout, "Ctrl-C stops it.")
	said := s.Stdout.String()

	t.Run("every route of its table is served", func(t *testing.T) {
		routes := regexp.MustCompile(`(?m)^(GET|POST) (/\S+) +\S+$`).FindAllStringSubmatch(said, -1)
		assert.Len(t, routes, 13)
		for _, r := range routes {
			a := Call(t, r[1], s.URL+strings.ReplaceAll(r[2], "{id}", "nobody"), "")
			want := http.StatusOK
			switch {
			case strings.Contains(r[2], "{id}"):
				want = http.StatusNotFound
			case r[1] == http.MethodPost:
				want = http.StatusUnsupportedMediaType // nothing was sent
			}
			assert.Equal(t, want, a.Status, r[0])
		}
	})
	t.Run("every topic of its table is there, with its partitions and its consumer group", func(t *testing.T) {
		topics, err := kadm.NewClient(client(t, s.Kafka)).ListTopics(Within(t))
		require.NoError(t, err)
		for topic, group := range Groups {
			assert.Regexp(t, `(?m)^`+topic+` +6 +`+group+` +\S`, said)
			assert.Len(t, topics[topic].Partitions, 6, topic)
			assert.Contains(t, topics, topic+".dead-letters")
		}
	})
	t.Run("its curl line can be copied", func(t *testing.T) {
		line := regexp.MustCompile(`(?m)^  (curl -i (\S+) -H '([^']+)' -d '([^']+)')$`).FindStringSubmatch(said)
		require.NotNil(t, line, said)
		a := Call(t, "POST", line[2], line[4], line[3])
		assert.Equal(t, http.StatusAccepted, a.Status, a.Body)
		if _, err := exec.LookPath("curl"); err == nil {
			out, err := exec.Command("sh", "-c", line[1]+" -sS").CombinedOutput()
			assert.NoError(t, err)
			assert.Contains(t, string(out), "202 Accepted")
		}
		s.Readable("/contacts", Decoded[Accepted](t, a.Body).ID)
	})
}

// The folder is made where it is named, or .sipeat where the command runs.
func TestServeKeepsItsDataInOneFolder(t *testing.T) {
	t.Parallel()
	c := command(t, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0")
	s := &Serving{Process: Start(t, c)}
	s.Ready()
	assert.DirExists(t, filepath.Join(c.Dir, ".sipeat"))
	entries, err := os.ReadDir(c.Dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

// A flag wins over the environment, the environment over the file .env.
func TestServeSettingsHaveAnOrder(t *testing.T) {
	t.Parallel()
	c := command(t, "serve", "--http", "127.0.0.1:0")
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, ".env"), []byte("SIPEAT_HTTP=0.0.0.0:1\nSIPEAT_KAFKA=0.0.0.0:1\nSIPEAT_DATA=from-file\n"), 0o600))
	c.Env = append(c.Env, "SIPEAT_HTTP=0.0.0.0:2", "SIPEAT_KAFKA=127.0.0.1:0")
	s := &Serving{Process: Start(t, c)}
	s.Ready()
	assert.DirExists(t, filepath.Join(c.Dir, "from-file"))
}

// `sipeat serve | head -1` is how a script takes the addresses.
func TestServeGoesOnWhenNobodyReadsItsOutput(t *testing.T) {
	t.Parallel()
	for range 3 { // whether it writes before or after its reader has gone is chance
		read, write, err := os.Pipe()
		require.NoError(t, err)
		c := command(t, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", t.TempDir())
		c.Stdout, c.Stderr = write, write
		require.NoError(t, c.Start())
		t.Cleanup(func() { c.Process.Kill() })
		write.Close()
		var match []string
		for lines := bufio.NewReaderSize(read, 16); match == nil; { // warnings may come before it
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			match = readyLine.FindStringSubmatch(strings.TrimSpace(line))
		}
		read.Close()
		a, err := Try("POST", match[1]+"/contacts", AContact)
		require.NoError(t, err, "the process has ended")
		assert.Equal(t, http.StatusAccepted, a.Status)
		require.NoError(t, c.Process.Signal(syscall.SIGTERM))
		assert.NoError(t, c.Wait())
	}
}

// What the API answers while the process is told to end, half a request at a time.
func TestServeDrainsInOrder(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			s := serve(t, data)
			var waiting []*connection
			for range 8 {
				waiting = append(waiting, s.dial())
				waiting[len(waiting)-1].send("GET /contacts/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=20\r\n\r\n")
			}
			half := s.beginPost()
			Call(t, "GET", s.URL+"/healthz", "")
			s.Signal(signal)
			s.Says(s.Stderr, "ending API")
			for _, w := range waiting { // net/http hangs up on one whose header it reads only now
				if got, err := http.ReadResponse(w.reader, nil); err == nil {
					got.Body.Close()
					assert.Equal(t, http.StatusNotFound, got.StatusCode, "a wait ends with the answer there is")
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
			assert.Len(t, Records(t, serve(t, data).Kafka, "contact-created"), 1, "what was answered is kept")
		})
	}
}

func TestServeEndsAtOnceWhenAskedTwice(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.beginPost() // and never ends: the drain would take its whole time
	s.Signal(os.Interrupt)
	s.Says(s.Stderr, "ending API")
	untilIn(t, Patience/10, func() error { // two signals at the same moment are one
		s.Cmd.Process.Signal(os.Interrupt)
		if s.Running() {
			return io.ErrNoProgress
		}
		return nil
	})
	assert.Equal(t, -1, s.Wait(), "killed by the signal")
	assert.NotContains(t, s.Stderr.String(), "ending consumers")
}

// One that asks for the end asks once, however often its signal arrives at the same moment: `timeout` and others signal
// the process and then its whole group.
func TestServeTakesSignalsOfOneMomentForOne(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.Signal(os.Interrupt)
	s.Cmd.Process.Signal(syscall.SIGTERM)
	assert.Equal(t, 0, s.Wait(), s.Stderr)
}
