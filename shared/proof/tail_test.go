package proof

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
	tail := func(more ...string) result {
		return run(t, "", append([]string{"tail", "contact-created", "--brokers", s.kafka, "--no-follow"}, more...)...)
	}
	assert.Equal(t, result{took: 0}, timeless(tail("--from-start")), "an empty topic ends at once")
	first := s.post("/contacts", aContact)
	for range 4 {
		s.post("/contacts", aContact)
	}

	text := tail("--from-start")
	require.Equal(t, 0, text.status, text.stderr)
	assert.Empty(t, text.stderr)
	require.Len(t, lines(text.stdout), 5)
	found := ""
	for _, line := range lines(text.stdout) {
		assert.Regexp(t, `^\d\t\d+\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t[0-9a-f-]{36}\t\{.*\}$`, line)
		if strings.Contains(line, first.EventID) {
			found = line
		}
	}
	assert.True(t, strings.HasPrefix(found, fmt.Sprintf("%d\t%d\t", first.Partition, first.Offset)), found)

	asJSON := tail("--from-start", "--json")
	require.Equal(t, 0, asJSON.status)
	require.Len(t, lines(asJSON.stdout), 5)
	for _, line := range lines(asJSON.stdout) {
		r := decoded[struct {
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
	assert.Len(t, lines(tail("--from-start", "-n", "2").stdout), 2)
	assert.Empty(t, tail().stdout, "from the end there is nothing yet")
}

func timeless(r result) result {
	r.took = 0
	return r
}

func TestTailShowsRecordsAsTheyCome(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.post("/contacts", contactWith(t, "message", "before"))
	tail := start(t, command(t, "tail", "contact-created", "--brokers", s.kafka))
	enough := start(t, command(t, "tail", "contact-created", "--brokers", s.kafka, "--from-start", "-n", "2"))
	until(t, func() error { // from when on it looks is its own affair
		s.post("/contacts", contactWith(t, "message", "after"))
		if !strings.Contains(tail.stdout.String(), "after") {
			return fmt.Errorf("it shows %q", tail.stdout)
		}
		return nil
	})
	assert.NotContains(t, tail.stdout.String(), "before")
	assert.Equal(t, 0, enough.wait())
	assert.Len(t, lines(enough.stdout.String()), 2)
	tail.signal(os.Interrupt)
	assert.Equal(t, 0, tail.wait(), "to end it is how it is ended")
	assert.Empty(t, tail.stderr.String())
}

// What somebody wrote on a topic must not move the cursor, forge a line or break the JSON.
func TestTailShowsWhateverStandsOnATopic(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := client(t, s.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, value := range [][]byte{nil, {}, []byte("\x1b[2J\nforged"), {0xff, 0xfe}, []byte("plain"), []byte(`{"a": 1}`)} {
		r := &kgo.Record{Topic: "machine-created.dead-letters", Value: value, Headers: []kgo.RecordHeader{{Key: "why", Value: []byte("é\xff")}}}
		require.NoError(t, c.ProduceSync(within(t), r).FirstErr())
	}
	text := run(t, "", "tail", "machine-created.dead-letters", "--brokers", s.kafka, "--from-start", "--no-follow")
	require.Equal(t, 0, text.status, text.stderr)
	var values []string
	for _, line := range lines(text.stdout) {
		values = append(values, strings.Split(line, "\t")[4])
	}
	assert.Equal(t, []string{"-", "", `"\x1b[2J\nforged"`, `"\xff\xfe"`, "plain", `{"a": 1}`}, values)

	asJSON := run(t, "", "tail", "machine-created.dead-letters", "--brokers", s.kafka, "--from-start", "--no-follow", "--json")
	require.Equal(t, 0, asJSON.status, asJSON.stderr)
	require.Len(t, lines(asJSON.stdout), 6)
	for i, line := range lines(asJSON.stdout) {
		r := decoded[map[string]any](t, line)
		assert.Equal(t, []any{nil, "", "\x1b[2J\nforged", "\ufffd\ufffd", "plain", map[string]any{"a": 1.0}}[i], r["value"])
		assert.Nil(t, r["key"])
		assert.NotEmpty(t, r["headers"])
	}
}

func TestTailOfATopicThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	got := run(t, "", "tail", "contacts", "--brokers", s.kafka)
	assert.Equal(t, 1, got.status)
	assert.Empty(t, got.stdout)
	assert.Equal(t, "sipeat: there is no topic contacts; did you mean contact-created?\n", got.stderr)
}
