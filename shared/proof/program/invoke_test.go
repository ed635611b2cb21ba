package program

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each function runs on its sample, on the broker and the read model of one `sipeat serve`: the queries show the events
// of the consumers' samples.
func TestInvokeRunsEachFunction(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	invoke := func(function string) string {
		made := s.fleet().Run("invoke", function)
		assert.Equal(t, 0, made.Status, "%s: %s", function, made.Stderr)
		return made.Stdout
	}
	for _, f := range (consumers.Consumers{}).Functions() {
		assert.Equal(t, "{\n  \"batchItemFailures\": []\n}\n", invoke(f.Name), f.Name)
	}
	for _, f := range (commands.Commands{}).Functions() {
		assert.Regexp(t, `(?s)^202 Accepted\n.*\nLocation: /[a-z]+/.*\n\n\{\n  "id": `, invoke(f.Name), f.Name)
	}
	for _, f := range (queries.Queries{}).Functions() {
		shown := invoke(f.Name)
		assert.True(t, strings.HasPrefix(shown, "200 OK\n"), "%s: %s", f.Name, shown)
		assert.NotContains(t, shown, `"items": []`, f.Name)
	}
}

// A redriven event travels to a function with the header that names its consumer group: the function of another skips it.
func TestInvokeSkipsRedrivesForOthers(t *testing.T) {
	t.Parallel()
	sample := Run(t, "", "sample", "contact-created")
	for group, handled := range map[string]int{Groups["contact-created"]: 1, "another-group": 0} {
		header := strings.ReplaceAll(fmt.Sprintf(`"headers":[{"redrive-consumer":%d},`, []byte(group)), " ", ",")
		payload := strings.Replace(sample.Stdout, `"headers":[`, header, 1)
		records, err := trigger.Decode([]byte(payload))
		require.NoError(t, err)
		require.Equal(t, group, string(records[0].Headers[0].Value))
		folder := t.TempDir()
		invoked := Finish(t, set(command(t, "invoke", "contact-created", "--throwaway", "-e", "-"), "TMPDIR="+folder), payload)
		assert.Equal(t, 0, invoked.Status, invoked.Stderr)
		assert.Equal(t, handled, strings.Count(invoked.Stderr, "outcome=done"), "%s: %s", group, invoked.Stderr)
		assert.Contains(t, invoked.Stdout, `"batchItemFailures": []`)
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		assert.Empty(t, left, "--throwaway removes its files")
	}
}

func TestInvokeReportsFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stdin, arguments string
		status           int
		says, answer     string
	}{
		"404": {"", "invoke get-contact --throwaway", 1, "get-contact answered 404", "404 Not Found"},
		"no payload": {`{"x":1}`, "invoke contact-created --throwaway -e -", 1,
			"contact-created failed: the payload cannot be read", ""},
		"no broker": {"", "invoke create-contact --brokers 127.0.0.1:1 --timeout 400ms", 1, "create-contact answered 503",
			`"eventId"`},
		"two brokers":      {"", "invoke create-contact --throwaway --brokers 127.0.0.1:1", 2, "throwaway", ""},
		"unknown file":     {"", "invoke create-contact -e nothing.json", 2, "nothing.json", ""},
		"unknown function": {"", "invoke create-contract", 2, "create-contract", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made := Run(t, c.stdin, strings.Fields(c.arguments)...)
			assert.Equal(t, c.status, made.Status, made.Stderr)
			assert.Contains(t, made.Stderr, c.says)
			assert.Contains(t, made.Stdout, c.answer)
		})
	}
}

// `sipeat sample` writes the same batch each time; --bad adds a record that a consumer rejects.
func TestSampleMakesABatch(t *testing.T) {
	t.Parallel()
	var made Result
	for _, topic := range []string{"request-created", "contact-created"} {
		arguments := []string{"sample", topic, "--records", "7", "--bad"}
		made = Run(t, "", arguments...)
		require.Equal(t, 0, made.Status, made.Stderr)
		assert.Equal(t, made.Stdout, Run(t, "", arguments...).Stdout)
		records, err := trigger.Decode([]byte(made.Stdout))
		require.NoError(t, err)
		require.Len(t, records, 8)
	}

	folder := t.TempDir()
	invoked := Finish(t, set(command(t, "invoke", "contact-created", "--throwaway", "-e", "-"), "TMPDIR="+folder), made.Stdout)
	assert.Equal(t, 0, invoked.Status, invoked.Stderr)
	assert.Equal(t, 7, strings.Count(invoked.Stderr, "outcome=done"), invoked.Stderr)
	assert.Equal(t, 1, strings.Count(invoked.Stderr, "outcome=rejected"), invoked.Stderr)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Empty(t, left, "--throwaway removes its files")
}
