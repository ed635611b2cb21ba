package program

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestInvokeRunsEachFunction on its sample, on the broker and the read model of one `sipeat serve`: a consumer's sample is what
// its query then shows.
func TestInvokeRunsEachFunction(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	invoke := func(function string) Result {
		c := command(t, "invoke", function, "--brokers", s.Kafka)
		c.Env = append(c.Env, "STORE="+filepath.Join(s.Data, "read-model.db"))
		return Finish(t, c, "")
	}
	for _, f := range (consumers.Consumers{}).Functions() {
		made := invoke(f.Name)
		assert.Equal(t, 0, made.Status, "%s: %s", f.Name, made.Stderr)
		assert.Equal(t, "{\n  \"batchItemFailures\": []\n}\n", made.Stdout, f.Name)
	}
	for _, f := range (commands.Commands{}).Functions() {
		made := invoke(f.Name)
		assert.Equal(t, 0, made.Status, "%s: %s", f.Name, made.Stderr)
		assert.Regexp(t, `(?s)^202 Accepted\n.*\nLocation: /[a-z]+/.*\n\n\{\n  "id": `, made.Stdout, f.Name)
	}
	for _, f := range (queries.Queries{}).Functions() {
		made := invoke(f.Name)
		assert.Equal(t, 0, made.Status, "%s: %s", f.Name, made.Stderr)
		assert.True(t, strings.HasPrefix(made.Stdout, "200 OK\n"), "%s: %s", f.Name, made.Stdout)
		assert.NotContains(t, made.Stdout, `"items": []`, f.Name)
	}
}

func TestInvokeSaysHowItWent(t *testing.T) {
	t.Parallel()
	batch := Run(t, "", "sample", "contact-created", "--records", "3", "--partitions", "2", "--bad")
	require.Equal(t, 0, batch.Status, batch.Stderr)
	for _, c := range []struct {
		name, stdin  string
		arguments    []string
		status       int
		says, answer string
	}{
		{"what is no event is no failure", batch.Stdout, []string{"invoke", "contact-created", "--throwaway", "-e", "-"}, 0, "outcome=rejected", `"batchItemFailures": []`},
		{"an answer of 404", "", []string{"invoke", "get-contact", "--throwaway"}, 1, "get-contact answered 404", "404 Not Found"},
		{"for scripts", "", []string{"invoke", "create-contact", "--throwaway", "--json"}, 0, "", `{"statusCode":202,`},
		{"what is no payload", `{"x":1}`, []string{"invoke", "contact-created", "--throwaway", "-e", "-"}, 1, "contact-created failed: the payload cannot be read", ""},
		{"another function's payload", batch.Stdout, []string{"invoke", "create-contact", "--throwaway", "-e", "-"}, 1, "create-contact failed: ", ""},
		{"no broker", "", []string{"invoke", "create-contact", "--brokers", "127.0.0.1:1"}, 1, "create-contact answered 503", `"eventId"`},
		{"no time", "", []string{"invoke", "create-contact", "--brokers", "127.0.0.1:1", "--timeout", "400ms"}, 1, "create-contact answered 503", `"eventId"`},
		{"less than no time", "", []string{"invoke", "create-contact", "--throwaway", "--timeout", "0s"}, 2, "--timeout: 0s", ""},
		{"two brokers", "", []string{"invoke", "create-contact", "--throwaway", "--brokers", "127.0.0.1:1"}, 2, "--throwaway and --brokers exclude each other", ""},
		{"no such file", "", []string{"invoke", "create-contact", "-e", "nothing.json"}, 2, "nothing.json", ""},
		{"no such function", "", []string{"invoke", "create-contract"}, 2, `unknown function "create-contract"; did you mean create-contact?`, ""},
		{"no function", "", []string{"sample"}, 2, "name one function", ""},
		{"a batch for an endpoint", "", []string{"sample", "get-contact", "--records", "2"}, 2, "get-contact is an endpoint", ""},
		{"too few records", "", []string{"sample", "contact-created", "--records", "0"}, 2, "--records: 0 is not between 1 and 10000", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			made := Finish(t, command(t, c.arguments...), c.stdin)
			assert.Equal(t, c.status, made.Status, made.Stderr)
			assert.Contains(t, made.Stderr, c.says)
			assert.Contains(t, made.Stdout, c.answer)
			if c.answer == "" {
				assert.Empty(t, made.Stdout)
			}
		})
	}
}

// TestThrowawayLeavesNothing: neither of what was done nor of what the broker writes as it ends.
func TestThrowawayLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"create-contact", "contact-created", "get-contact"} {
		c, folder := command(t, "invoke", function, "--throwaway"), t.TempDir()
		c.Env = append(c.Env, "TMPDIR="+folder)
		Finish(t, c, "")
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		assert.Empty(t, left, function)
	}
}

// TestSampleWritesWhatWasAskedFor: as many records over as many partitions, the same each time, and as many that are no events.
func TestSampleWritesWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, f := range (consumers.Consumers{}).Functions() {
		own := Run(t, "", "sample", f.Name)
		file, err := os.ReadFile(filepath.Join(root, "functions", "testdata", f.Name+".json"))
		require.NoError(t, err)
		assert.Equal(t, string(bytes.TrimSpace(file))+"\n", own.Stdout)

		arguments := []string{"sample", f.Name, "--records", "7", "--partitions", "3", "--bad"}
		made := Run(t, "", arguments...)
		require.Equal(t, 0, made.Status, made.Stderr)
		assert.Equal(t, made.Stdout, Run(t, "", arguments...).Stdout)
		batch, err := trigger.Decode([]byte(made.Stdout))
		require.NoError(t, err)
		require.Len(t, batch.Records, 8)
		places := map[string]bool{}
		for _, r := range batch.Records {
			places[fmt.Sprintf("%d/%d", r.Partition, r.Offset)] = true
			assert.Equal(t, f.Consumer.Topic, r.Topic)
			assert.Less(t, r.Partition, int32(3))
		}
		assert.Len(t, places, 8)

		invoked := Finish(t, command(t, "invoke", f.Name, "--throwaway", "-e", "-"), made.Stdout)
		assert.Equal(t, 0, invoked.Status, invoked.Stderr)
		assert.Equal(t, 7, strings.Count(invoked.Stderr, "outcome=done"), invoked.Stderr)
		assert.Equal(t, 1, strings.Count(invoked.Stderr, "outcome=rejected"), invoked.Stderr)
	}
}
