package program

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// publish runs `sipeat publish` against a serving process.
func (s *Serving) publish(topic, lines string, more ...string) Result {
	s.T.Helper()
	return Run(s.T, lines, append([]string{"publish", topic, "--brokers", s.Kafka}, more...)...)
}

// publish names each invalid line with the reason and publishes the others.
func TestPublishedLinesBecomeResources(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, e := range endpoints {
		mine := with(t, e.body, map[string]any{"id": "my-" + e.topic, "timestamp": "2020-01-02T03:04:05Z"})
		got := s.publish(e.topic, "\ufeff"+e.body+"\n\n"+mine) // a byte order mark, a blank line, no line break at the end
		assert.Equal(t, 0, got.Status, got.Stderr)
		assert.Contains(t, got.Stderr, "published 2, refused 0")
		assert.Equal(t, "2020-01-02T03:04:05.000Z", s.Readable(e.path, "my-"+e.topic)["timestamp"])
	}
	got := s.publish("contact-created", strings.Join([]string{
		AContact, `{"name":`, contactWith(t, "nmae", "x"), contactWith(t, "email", "nobody"), "", AContact + AContact,
		contactWith(t, "name", "Grace"),
	}, "\n"))
	assert.Equal(t, 1, got.Status)
	assert.Regexp(t, `(?s)^line 2: .*\nline 3: .*nmae.*\nline 4: .*/email.*\nline 6: .*\npublished 2, refused 4\nsipeat: `,
		got.Stderr)
	assert.NotContains(t, got.Stderr, "nobody", "a line's values are personal")
	assert.Len(t, Records(t, s.Kafka, "contact-created"), 4)
}

// Published again under the same key, the same lines are the same events; without a key they are new.
func TestPublishAgainUnderAKeyIsTheSame(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	input := AContact + "\n" + AContact + "\n" + contactWith(t, "name", "Grace")
	times := func() map[string]int {
		count := map[string]int{}
		for _, r := range Records(t, s.Kafka, "contact-created") {
			count[Decoded[Thing](t, string(r.Value))["eventId"].(string)]++
		}
		return count
	}
	for range 2 {
		got := s.publish("contact-created", input, "--idempotency-key", "import-7")
		require.Equal(t, 0, got.Status, got.Stderr)
	}
	count := times()
	assert.Len(t, count, 3, "two equal lines are two events")
	for id, n := range count {
		assert.Equal(t, 2, n, id)
	}
	require.Equal(t, 0, s.publish("contact-created", input).Status)
	assert.Len(t, times(), 6)
}

func TestPublishKeepsTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const keys, total = 7, 2000
	var input strings.Builder
	for n := range total {
		fmt.Fprintf(&input, `{"type":"machine","message":"%d","subjectId":"m-%d"}`+"\n", n, n%keys)
	}
	got := s.publish("notification", input.String())
	require.Equal(t, 0, got.Status, got.Stderr)
	last, partition := map[string]int64{}, map[string]int32{}
	all := Records(t, s.Kafka, "notification")
	assert.Len(t, all, total)
	for _, r := range all {
		n, err := Decoded[struct{ Data struct{ Message json.Number } }](t, string(r.Value)).Data.Message.Int64()
		require.NoError(t, err)
		key := string(r.Key)
		assert.Equal(t, fmt.Sprint("m-", n%keys), key)
		if at, known := partition[key]; known {
			assert.Equal(t, at, r.Partition)
			assert.Greater(t, n, last[key])
		}
		last[key], partition[key] = n, r.Partition
	}
}

// publishing starts `sipeat publish` and waits until its first line is on the topic.
func (s *Serving) publishing() (*Process, io.WriteCloser) {
	s.T.Helper()
	c := command(s.T, "publish", "contact-created", "--brokers", s.Kafka)
	in, err := c.StdinPipe()
	require.NoError(s.T, err)
	p := Start(s.T, c)
	before := len(Records(s.T, s.Kafka, "contact-created"))
	_, err = io.WriteString(in, AContact+"\n")
	require.NoError(s.T, err)
	Until(s.T, func() error { return ErrorUnless(len(Records(s.T, s.Kafka, "contact-created")) > before, "no record") })
	return p, in
}

func TestPublishReportsWhatItHasPublishedWhenItEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	interrupted, open := s.publishing()
	defer open.Close()
	interrupted.Signal(os.Interrupt)
	assert.Equal(t, 1, interrupted.Wait())
	assert.Contains(t, interrupted.Stderr.String(), "published 1, refused 0")

	p, in := s.publishing()
	s.Kill()
	_, err := io.WriteString(in, strings.Repeat(AContact+"\n", 3))
	require.NoError(t, err)
	require.NoError(t, in.Close())
	assert.Equal(t, 1, p.Wait())
	assert.Contains(t, p.Stderr.String(), "lines 2 to 4 ")
	assert.Contains(t, p.Stderr.String(), "--idempotency-key")
	assert.Contains(t, p.Stderr.String(), "published 1, refused 0")
}
