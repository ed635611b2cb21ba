package program

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTailShowsWhatIsOnATopic(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	tail := func(more ...string) Result {
		return Run(t, "", append([]string{"tail", "contact-created", "--brokers", s.Kafka, "--no-follow"}, more...)...)
	}
	assert.Equal(t, Result{Took: 0}, timeless(tail("--from-start")), "an empty topic ends at once")
	first := s.Post("/contacts", AContact)
	for range 4 {
		s.Post("/contacts", AContact)
	}

	text := tail("--from-start")
	require.Equal(t, 0, text.Status, text.Stderr)
	assert.Empty(t, text.Stderr)
	require.Len(t, Lines(text.Stdout), 5)
	found := ""
	for _, line := range Lines(text.Stdout) {
		assert.Regexp(t, `^\d\t\d+\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t[0-9a-f-]{36}\t\{.*\}$`, line)
		if strings.Contains(line, first.EventID) {
			found = line
		}
	}
	assert.True(t, strings.HasPrefix(found, fmt.Sprintf("%d\t%d\t", first.Partition, first.Offset)), found)

	asJSON := tail("--from-start", "--json")
	require.Equal(t, 0, asJSON.Status)
	require.Len(t, Lines(asJSON.Stdout), 5)
	for _, line := range Lines(asJSON.Stdout) {
		r := Decoded[struct {
			Topic, Key, Timestamp string
			Partition, Offset     *int64
			Value                 struct{ EventType string }
		}](t, line)
		assert.Equal(t, "contact-created", r.Topic)
		assert.Equal(t, "contact-created", r.Value.EventType)
		assert.NotNil(t, r.Partition)
		assert.NotNil(t, r.Offset)
		assert.Len(t, r.Key, 36)
		assert.NotEmpty(t, r.Timestamp)
	}
	assert.Len(t, Lines(tail("--from-start", "-n", "2").Stdout), 2)
	assert.Empty(t, tail().Stdout, "from the end there is nothing yet")
}

func timeless(r Result) Result {
	r.Took = 0
	return r
}

func TestTailShowsRecordsAsTheyCome(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.Post("/contacts", contactWith(t, "message", "before"))
	tail := Start(t, command(t, "tail", "contact-created", "--brokers", s.Kafka))
	enough := Start(t, command(t, "tail", "contact-created", "--brokers", s.Kafka, "--from-start", "-n", "2"))
	Until(t, func() error { // from when on it looks is its own affair
		s.Post("/contacts", contactWith(t, "message", "after"))
		if !strings.Contains(tail.Stdout.String(), "after") {
			return fmt.Errorf("it shows %q", tail.Stdout)
		}
		return nil
	})
	assert.NotContains(t, tail.Stdout.String(), "before")
	assert.Equal(t, 0, enough.Wait())
	assert.Len(t, Lines(enough.Stdout.String()), 2)
	tail.Signal(os.Interrupt)
	assert.Equal(t, 0, tail.Wait(), "to end it is how it is ended")
	assert.Empty(t, tail.Stderr.String())
}

// What somebody wrote on a topic must not move the cursor, forge a line or break the JSON.
func TestTailShowsWhateverStandsOnATopic(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := client(t, s.Kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, value := range [][]byte{nil, {}, []byte("\x1b[2J\nforged"), {0xff, 0xfe}, []byte("plain"), []byte(`{"a": 1}`)} {
		r := &kgo.Record{Topic: "machine-created.dead-letters", Value: value, Headers: []kgo.RecordHeader{{Key: "why", Value: []byte("é\xff")}}}
		require.NoError(t, c.ProduceSync(Within(t), r).FirstErr())
	}
	text := Run(t, "", "tail", "machine-created.dead-letters", "--brokers", s.Kafka, "--from-start", "--no-follow")
	require.Equal(t, 0, text.Status, text.Stderr)
	var values []string
	for _, line := range Lines(text.Stdout) {
		values = append(values, strings.Split(line, "\t")[4])
	}
	assert.Equal(t, []string{"-", "", `"\x1b[2J\nforged"`, `"\xff\xfe"`, "plain", `{"a": 1}`}, values)

	asJSON := Run(t, "", "tail", "machine-created.dead-letters", "--brokers", s.Kafka, "--from-start", "--no-follow", "--json")
	require.Equal(t, 0, asJSON.Status, asJSON.Stderr)
	require.Len(t, Lines(asJSON.Stdout), 6)
	for i, line := range Lines(asJSON.Stdout) {
		r := Decoded[map[string]any](t, line)
		assert.Equal(t, []any{nil, "", "\x1b[2J\nforged", "\ufffd\ufffd", "plain", map[string]any{"a": 1.0}}[i], r["value"])
		assert.Nil(t, r["key"])
		assert.NotEmpty(t, r["headers"])
	}
}

func TestTailOfATopicThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	got := Run(t, "", "tail", "contacts", "--brokers", s.Kafka)
	assert.Equal(t, 1, got.Status)
	assert.Empty(t, got.Stdout)
	assert.Equal(t, "sipeat: there is no topic contacts; did you mean contact-created?\n", got.Stderr)
}
