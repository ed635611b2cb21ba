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

func TestTailShowsRecords(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	tail := func(more ...string) Result {
		return Run(t, "", append([]string{"tail", "contact-created", "--brokers", s.Kafka, "--no-follow"}, more...)...)
	}
	assert.Empty(t, tail("--from-start").Stdout, "an empty topic ends at once")
	first := s.Post("/contacts", AContact)
	for range 4 {
		s.Post("/contacts", AContact)
	}
	text := tail("--from-start")
	require.Equal(t, 0, text.Status, text.Stderr)
	require.Len(t, Lines(text.Stdout), 5)
	assert.Regexp(t, fmt.Sprintf(`(?m)^%d\t%d\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t[0-9a-f-]{36}\t\{.*%s.*\}$`, first.Partition,
		first.Offset, first.EventID), text.Stdout)

	asJSON := tail("--from-start", "--json", "-n", "2")
	require.Equal(t, 0, asJSON.Status)
	require.Len(t, Lines(asJSON.Stdout), 2)
	r := Decoded[struct {
		Topic, Key, Timestamp string
		Partition, Offset     *int64
		Value                 struct{ EventType string }
	}](t, Lines(asJSON.Stdout)[0])
	assert.Equal(t, "contact-created", r.Topic)
	assert.Equal(t, "contact-created", r.Value.EventType)
	assert.NotNil(t, r.Partition)
	assert.NotNil(t, r.Offset)
	assert.Len(t, r.Key, 36)
	assert.NotEmpty(t, r.Timestamp)
	assert.Empty(t, tail().Stdout, "from the end there is nothing yet")

	unknown := Run(t, "", "tail", "contacts", "--brokers", s.Kafka)
	assert.Equal(t, 1, unknown.Status)
	assert.Contains(t, unknown.Stderr, "there is no topic contacts")
}

func TestTailFollows(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.Post("/contacts", contactWith(t, "message", "before"))
	tail := Start(t, command(t, "tail", "contact-created", "--brokers", s.Kafka))
	Until(t, func() error { // it may begin after the first of these
		s.Post("/contacts", contactWith(t, "message", "after"))
		if !strings.Contains(tail.Stdout.String(), "after") {
			return fmt.Errorf("it shows %q", tail.Stdout)
		}
		return nil
	})
	assert.NotContains(t, tail.Stdout.String(), "before")
	tail.Signal(os.Interrupt)
	assert.Equal(t, 0, tail.Wait())
	assert.Empty(t, tail.Stderr.String())
}

// A record's value cannot move the cursor, forge a line or break the JSON.
func TestTailEscapesForeignRecords(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := client(t, s.Kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, value := range [][]byte{nil, []byte("\x1b[2J\nforged"), {0xff, 0xfe}, []byte("plain"), []byte(`{"a": 1}`)} {
		require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "machine-created.dead-letters", Value: value}).FirstErr())
	}
	tail := func(more ...string) (lines []string) {
		got := Run(
			t,
			"",
			append([]string{"tail", "machine-created.dead-letters", "--brokers", s.Kafka, "--from-start", "--no-follow"}, more...)...)
		require.Equal(t, 0, got.Status, got.Stderr)
		return Lines(got.Stdout)
	}
	var values []string
	for _, line := range tail() {
		values = append(values, strings.Split(line, "\t")[4])
	}
	assert.Equal(t, []string{"-", `"\x1b[2J\nforged"`, `"\xff\xfe"`, "plain", `{"a": 1}`}, values)
	var decoded []any
	for _, line := range tail("--json") {
		decoded = append(decoded, Decoded[map[string]any](t, line)["value"])
	}
	assert.Equal(t, []any{nil, "\x1b[2J\nforged", "\ufffd\ufffd", "plain", map[string]any{"a": 1.0}}, decoded)
}
