package program

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	assert.Empty(t, tail().Stdout, "no records after the end")
	assert.Len(t, Lines(tail("--since", "1h", "--key", first.ID).Stdout), 1)

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
