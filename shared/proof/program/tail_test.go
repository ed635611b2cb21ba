package program

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTailShowsRecordsAndFollows(t *testing.T) {
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
	require.Len(t, Lines(text.Stdout), 5, text.Stderr)
	assert.Regexp(t, fmt.Sprintf(`(?m)^%d\t%d\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t[0-9a-f-]{36}\t\{.*%s.*\}$`, first.Partition,
		first.Offset, first.EventID), text.Stdout)
	asJSON := Lines(tail("--from-start", "--json", "-n", "2").Stdout)
	require.Len(t, asJSON, 2)
	for _, field := range []string{"topic", "key", "timestamp", "partition", "offset", "value"} {
		assert.Contains(t, Decoded[Thing](t, asJSON[0]), field)
	}
	assert.Empty(t, tail().Stdout, "no records after the end")
	unknown := Run(t, "", "tail", "contacts", "--brokers", s.Kafka)
	assert.Equal(t, 1, unknown.Status)
	assert.Contains(t, unknown.Stderr, "there is no topic contacts")

	follows := Start(t, command(t, "tail", "contact-created", "--brokers", s.Kafka))
	Until(t, func() error { // it may begin after the first of these
		s.Post("/contacts", contactWith(t, "message", "after"))
		return ErrorUnless(strings.Contains(follows.Stdout.String(), "after"), "it shows no new record")
	})
	assert.NotContains(t, follows.Stdout.String(), first.EventID)
	follows.Stop(os.Interrupt)
	assert.Empty(t, follows.Stderr.String())
}
