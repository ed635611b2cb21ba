package program

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// rejection is a line of `dead-letters list --json`.
type rejection struct {
	ID, Topic, EventID, Key, Class, Reason, Consumer, State string
	Offset                                                  int64
	Attempts, Redrives                                      int
	Value                                                   string
}

// A notification that Discord refuses is found, redriven once Discord accepts it, and delivered once. A conflict is refused and
// discarded. All of it is recorded.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	var accepts atomic.Bool
	delivered := make(chan string, 9)
	discord := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !accepts.Load() {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body, _ := io.ReadAll(r.Body)
		delivered <- string(body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer discord.Close()
	s := serve(t, t.TempDir(), "NOTIFY=discord", "DISCORD_WEBHOOK="+discord.URL+"/api/webhooks/1/x")
	f := s.fleet()
	list := func(arguments ...string) (all []rejection) {
		got := f.Run(append([]string{"dead-letters", "list", "--json"}, arguments...)...)
		require.Equal(t, 0, got.Status, got.Stderr)
		for _, line := range Lines(got.Stdout) {
			all = append(all, Decoded[rejection](t, line))
		}
		return all
	}
	assert.Contains(t, f.Run("dead-letters", "list").Stdout, "No open dead letter matches")

	first := s.Post("/contacts", AContact)
	s.Readable("/contacts/", first.ID)
	conflict := `{"eventId":"e-1","eventType":"contact-created","data":{"id":"` + first.ID + `","name":"Eve"}}`
	require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Key: []byte(first.ID),
		Value: []byte(conflict)}).FirstErr())
	Until(t, func() error { return ErrorUnless(len(list()) == 2, "not both are rejected") })
	refused := list("--topic", "notification")[0]
	assert.Equal(t, []any{"exhausted", "sipeat-notification-consumer", "open", first.ID},
		[]any{refused.Class, refused.Consumer, refused.State, refused.Key})
	assert.Empty(t, list("--class", "panic"))
	assert.Len(t, list("--reason", `contact-created "…" exists with other content, and the first is kept; `+
		"if this one is meant as well, send it under another id"), 1)
	shown := f.Run("dead-letters", "show", refused.ID)
	assert.Contains(t, shown.Stdout, refused.EventID)
	assert.Contains(t, shown.Stdout, "New contact")

	accepts.Store(true)
	preview := f.Run("dead-letters", "preview", "--json")
	require.Equal(t, 0, preview.Status, preview.Stderr)
	p := Decoded[struct {
		Token    string
		Eligible int
		Refused  []struct{ ID, Why string }
	}](t, preview.Stdout)
	assert.Equal(t, 1, p.Eligible)
	require.Len(t, p.Refused, 1)
	assert.Contains(t, p.Refused[0].Why, "would be rejected again")
	redriven := f.Run("dead-letters", "redrive", p.Token, "--json")
	assert.Equal(t, 1, redriven.Status, "one was not redriven")
	assert.Regexp(t, `"result":"refused"(.|\n)*"result":"redriven"`, redriven.Stdout)
	assert.Contains(t, <-delivered, "New contact")
	again := f.Run("dead-letters", "redrive", p.Token).Stdout
	assert.Contains(t, again, "already redriven")
	assert.Contains(t, again, "2 events: 1 refused, 1 skipped")

	noReason := f.Run("dead-letters", "discard", p.Token)
	assert.Equal(t, 2, noReason.Status, noReason.Stderr)
	assert.Equal(t, 2, f.Run("dead-letters", "list", "--class", "x").Status)
	assert.Equal(t, 2, f.Run("dead-letters", "lst").Status)
	for _, wrong := range [][]string{{"redrive", "x"}, {"redrive"}, {"redrive", p.Token, "--rate", "-1"}, {"show", "x"},
		{"list", "--topic", "x"}, {"list", "--since", "-1h"}, {"preview", "--max-redrives", "0"},
		{"discard", "x", "--reason", "r"}, {"audit", "x"}} {
		assert.Equal(t, 2, f.Run(append([]string{"dead-letters"}, wrong...)...).Status, "%v", wrong)
	}
	rest := Decoded[struct{ Token string }](t, f.Run("dead-letters", "preview", "--id", p.Refused[0].ID, "--json").Stdout)
	discarded := f.Run("dead-letters", "discard", rest.Token, "--reason", "a test")
	assert.Equal(t, 0, discarded.Status, discarded.Stderr)
	assert.Equal(t, 0, f.Run("dead-letters", "discard", rest.Token, "--reason", "again").Status, "it is done")
	assert.Empty(t, list())
	states := map[string]string{}
	for _, r := range list("--all") {
		states[r.Topic] = r.State
	}
	assert.Equal(t, map[string]string{"contact-created": "discarded", "notification": "redriven"}, states)
	audit := f.Run("dead-letters", "audit").Stdout
	assert.Len(t, Lines(audit), 5, audit)
	assert.Contains(t, audit, "a test")
	assert.Equal(t, 4, strings.Count(f.Run("dead-letters", "audit", "--json").Stdout, `"who":`)-2, "two items have one of their own")
	assert.Empty(t, delivered, "delivered once")
}

// Records may hold anything: what is shown of them is text that no terminal obeys, and one more than a screen is counted.
func TestDeadLettersOfPoison(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	f := s.fleet()
	const poison = "\x1b[2J\r\n\u202e\u009b\xff"
	records := []*kgo.Record{
		{Key: []byte(poison), Value: []byte(poison), Headers: []kgo.RecordHeader{{Key: poison, Value: []byte(poison)},
			{Key: "k", Value: []byte("first")}, {Key: "k", Value: []byte("second")}}},
		{Value: []byte(strings.Repeat("[", 1_000_000))},
		{},
	}
	for range 200 {
		records = append(records, &kgo.Record{Value: []byte{}})
	}
	for _, r := range records {
		r.Topic = "contact-created"
	}
	c := client(t, s.Kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_588))
	require.NoError(t, c.ProduceSync(Within(t), records...).FirstErr())
	Until(t, func() error {
		return ErrorUnless(len(Lines(f.Run("dead-letters", "list", "--json").Stdout)) == len(records), "not all are rejected")
	})
	for _, arguments := range [][]string{{"list"}, {"list", "--json"}, {"show", "contact-created/0/0"},
		{"show", "contact-created/0/0", "--json"}, {"show", "contact-created/0/1"}, {"show", "contact-created/0/2"},
		{"preview"}, {"preview", "--json"}} {
		got := f.Run(append([]string{"dead-letters"}, arguments...)...)
		assert.Zero(t, got.Status, got.Stderr)
		assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f-\u009f\u202a-\u202e]", got.Stdout, "%v", arguments)
		assert.True(t, utf8.ValidString(got.Stdout), "%v", arguments)
		if !slices.Contains(arguments, "--json") {
			assert.Less(t, len(Lines(got.Stdout)), 110, "%v", arguments)
		}
	}
	shown := f.Run("dead-letters", "show", "contact-created/0/0", "--json").Stdout
	assert.Equal(t, []string{"first", "second"}, Decoded[struct{ Headers map[string][]string }](t, shown).Headers["k"])
	listed := f.Run("dead-letters", "list").Stdout
	assert.Contains(t, listed, "… and 103 more")
}
