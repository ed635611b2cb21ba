package program

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// publish runs `sipeat publish` against a serving process.
func (s *Serving) publish(topic, lines string, more ...string) Result {
	s.T.Helper()
	return Run(s.T, lines, append([]string{"publish", topic, "--brokers", s.Kafka}, more...)...)
}

func TestPublishedLinesBecomeResources(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, e := range endpoints {
		mine := with(t, e.body, map[string]any{"id": "my-" + e.topic, "timestamp": "2020-01-02T03:04:05Z"})
		got := s.publish(e.topic, "\ufeff"+e.body+"\n\n"+mine) // a byte order mark, a blank line, and no line break at the end
		assert.Equal(t, 0, got.Status, got.Stderr)
		assert.Empty(t, got.Stdout)
		assert.Contains(t, got.Stderr, "published 2, refused 0")
		assert.Equal(t, "2020-01-02T03:04:05.000Z", s.Readable(e.path, "my-"+e.topic)["timestamp"])
	}
}

// A line that is not acceptable is named, with the reason; the others are published.
func TestPublishNamesLinesThatAreNotAcceptable(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	got := s.publish("contact-created", strings.Join([]string{
		AContact,
		`{"name":`,
		contactWith(t, "nmae", "x"),
		contactWith(t, "email", "nobody"),
		"",
		AContact + AContact,
		contactWith(t, "name", "Grace"),
	}, "\n"))
	assert.Equal(t, 1, got.Status)
	refused := Lines(got.Stderr)
	require.Len(t, refused, 6, got.Stderr)
	for i, reason := range []string{"line 2: ", "line 3: ", "line 4: ", "line 6: "} {
		assert.True(t, strings.HasPrefix(refused[i], reason), refused[i])
	}
	assert.Contains(t, refused[1], "nmae")
	assert.Contains(t, refused[2], "/email")
	assert.NotContains(t, got.Stderr, "See errors")
	assert.NotContains(t, refused[2], "nobody", "what stands in a line is somebody's")
	assert.Equal(t, "published 2, refused 4", refused[4])
	assert.Equal(t, "sipeat: 4 of 6 lines refused", refused[5])
	assert.Len(t, Records(t, s.Kafka, "contact-created"), 2)

	long := s.publish("contact-created", AContact+"\n"+strings.Repeat("x", 2<<20)+"\n"+AContact)
	assert.Equal(t, 1, long.Status)
	assert.Contains(t, long.Stderr, "line 2 ")
	none := s.publish("contact-created", "{}")
	assert.Contains(t, none.Stderr, "sipeat: 1 of 1 line refused\n")
	nothing := s.publish("contact-created", "")
	assert.Equal(t, 0, nothing.Status)
	assert.Contains(t, nothing.Stderr, "published 0, refused 0")
}

// Run again under the same key, the same lines are the same events; without one they are new.
func TestPublishAgainUnderAKeyIsTheSame(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	input := AContact + "\n" + AContact + "\n" + contactWith(t, "name", "Grace")
	ids := func() (all []string) {
		for _, r := range Records(t, s.Kafka, "contact-created") {
			all = append(all, Decoded[Thing](t, string(r.Value))["eventId"].(string))
		}
		return all
	}
	for range 2 {
		got := s.publish("contact-created", input, "--idempotency-key", "import-7")
		require.Equal(t, 0, got.Status, got.Stderr)
	}
	count := map[string]int{}
	for _, id := range ids() {
		count[id]++
	}
	assert.Len(t, count, 3, "two lines that are equal are two events")
	for id, times := range count {
		assert.Equal(t, 2, times, id)
	}
	require.Equal(t, 0, s.publish("contact-created", input).Status)
	for _, id := range ids() {
		count[id]++
	}
	assert.Len(t, count, 6)
	Handled(t, s.Kafka, Groups["contact-created"], "contact-created")
	assert.Len(t, s.Pages("/contacts", "", 100), 6)
}

func TestPublishKeepsTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const keys, total = 7, 5000
	var input strings.Builder
	for n := range total {
		fmt.Fprintf(&input, `{"type":"machine","message":"%d","subjectId":"m-%d"}`+"\n", n, n%keys)
	}
	got := s.publish("notification", input.String())
	require.Equal(t, 0, got.Status, got.Stderr)
	last, partition := map[string]int{}, map[string]int32{}
	all := Records(t, s.Kafka, "notification")
	assert.Len(t, all, total)
	for _, r := range all {
		var e struct{ Data struct{ Message json.Number } }
		require.NoError(t, json.Unmarshal(r.Value, &e))
		n, err := e.Data.Message.Int64()
		require.NoError(t, err)
		key := string(r.Key)
		assert.Equal(t, fmt.Sprint("m-", n%keys), key)
		if at, seen := partition[key]; seen {
			assert.Equal(t, at, r.Partition)
			assert.Greater(t, int(n), last[key])
		}
		last[key], partition[key] = int(n), r.Partition
	}
}

// Brokers that are away, or that take connections and answer nothing: a clear word, in time.
func TestPublishAndTailSayThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	for name, address := range map[string]string{"away": dead(t), "silent": silent.Addr().String()} {
		for _, arguments := range [][]string{{"publish", "contact-created"}, {"tail", "contact-created"}} {
			t.Run(arguments[0]+" "+name, func(t *testing.T) {
				t.Parallel()
				got := Run(t, AContact, append(arguments, "--brokers", address)...)
				assert.Equal(t, 1, got.Status)
				assert.Empty(t, got.Stdout)
				assert.Less(t, got.Took, 15*time.Second)
				assert.Contains(t, got.Stderr, address)
				assert.Regexp(t, `(does it|do they) run\?`, got.Stderr)
				assert.LessOrEqual(t, len(Lines(got.Stderr)), 6, "it is said once:\n%s", got.Stderr)
			})
		}
	}
}

// The brokers go away in the middle: what was not confirmed is named, all of it, and what to do about it.
func TestPublishEndsWhenTheBrokersGoAway(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := command(t, "publish", "contact-created", "--brokers", s.Kafka)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	p := Start(t, c)
	_, err = io.WriteString(in, AContact+"\n")
	require.NoError(t, err)
	Until(t, func() error {
		if len(Records(t, s.Kafka, "contact-created")) == 0 {
			return io.ErrNoProgress
		}
		return nil
	})
	s.Kill()
	_, err = io.WriteString(in, strings.Repeat(AContact+"\n", 3))
	require.NoError(t, err)
	require.NoError(t, in.Close())
	started := time.Now()
	assert.Equal(t, 1, p.Wait())
	assert.Less(t, time.Since(started), 15*time.Second)
	assert.Contains(t, p.Stderr.String(), "lines 2 to 4 were sent, but not confirmed, and may or may not be published; later lines were not published; ")
	assert.Contains(t, p.Stderr.String(), "--idempotency-key")
	assert.Contains(t, p.Stderr.String(), "published 1, refused 0")
}

// Ctrl-C while it waits for lines: it ends, and says how far it came.
func TestPublishCanBeInterrupted(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := command(t, "publish", "contact-created", "--brokers", s.Kafka)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	p := Start(t, c)
	_, err = io.WriteString(in, AContact+"\n")
	require.NoError(t, err)
	Until(t, func() error {
		if len(Records(t, s.Kafka, "contact-created")) == 0 {
			return io.ErrNoProgress
		}
		return nil
	})
	p.Signal(os.Interrupt)
	assert.Equal(t, 1, p.Wait())
	assert.Contains(t, p.Stderr.String(), "published 1, refused 0")
}
