package notify_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/notifytest"
	"github.com/sipeat/sipeat/shared/settings"
)

const webhook = "/api/webhooks/123/token-canary"

// room is a fake of Discord.
type room struct {
	*httptest.Server
	mutex  sync.Mutex
	asked  int
	posts  []string
	last   *http.Request
	answer func(w http.ResponseWriter, body []byte) // nil = it accepts the message
}

func newRoom(t *testing.T) *room {
	r := &room{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *room) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mutex.Lock()
	r.asked++
	r.last = q
	answer := r.answer
	if answer == nil {
		var m struct{ Content string }
		_ = json.Unmarshal(body, &m)
		r.posts = append(r.posts, m.Content)
		fmt.Fprint(w, `{"id":"1"}`)
	}
	r.mutex.Unlock()
	if answer != nil {
		answer(w, body)
	}
}

func newDiscord(t *testing.T, r *room, now func() time.Time) notify.Notifier {
	t.Helper()
	s := settings.Notify{Channels: "discord", DiscordWebhook: r.URL + webhook + "?thread_id=7"}
	channels, err := notify.New(s, notify.Options{HTTP: r.Client(), Now: now})
	require.NoError(t, err)
	return channels[0]
}

// status answers with a code, a body, and a copy of the request.
func (r *room) status(status int, body string) func() {
	return func() {
		r.answer = func(w http.ResponseWriter, sent []byte) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			fmt.Fprint(w, strings.Replace(body, "QUOTE", strings.ReplaceAll(strings.ReplaceAll(string(sent), `\`, ""), `"`, ""), 1))
		}
	}
}

func TestDiscord(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Subject {
		r := newRoom(t)
		return notifytest.Subject{
			Notifier: newDiscord(t, r, nil),
			Delivered: func() []string {
				r.mutex.Lock()
				defer r.mutex.Unlock()
				return r.posts
			},
			Failures: notifytest.Failures{
				events.Unavailable: {
					"429":            r.status(429, `{"message":"QUOTE"}`),
					"500":            r.status(500, `<html>QUOTE`),
					"401":            r.status(401, `{"message":"QUOTE","code":50027}`),
					"403":            r.status(403, `{"message":"QUOTE","code":50013}`),
					"404":            r.status(404, `{"message":"QUOTE","code":10015}`),
					"a redirect":     r.status(302, ``),
					"no server":      r.Close,
					"half an answer": func() { r.answer = func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) } },
				},
				events.Invalid: {
					"content":    r.status(400, `{"code":50035,"message":"QUOTE","errors":{"content":{"_errors":[{"message":"QUOTE"}]}}}`),
					"moderation": r.status(400, `{"code":200000,"message":"QUOTE"}`),
				},
				events.Unknown: {
					"another field": r.status(400, `{"code":50035,"message":"QUOTE","errors":{"username":{}}}`),
					"a wrong type":  r.status(415, `QUOTE`),
				},
			},
			Hang: func() <-chan struct{} {
				asked, end := make(chan struct{}, 2), make(chan struct{})
				t.Cleanup(func() { close(end) })
				r.answer = func(http.ResponseWriter, []byte) { asked <- struct{}{}; <-end }
				return asked
			},
			Secrets: []string{"token-canary", "/webhooks/"},
		}
	})
}

func TestDiscordPost(t *testing.T) {
	r := newRoom(t)
	var sent map[string]any
	r.answer = func(w http.ResponseWriter, body []byte) { assert.NoError(t, json.Unmarshal(body, &sent)) }
	d := newDiscord(t, r, nil)
	content := func(m notify.Message) string {
		require.NoError(t, d.Notify(t.Context(), m))
		return sent["content"].(string)
	}
	assert.Equal(t, "**SipEat: contact**\n```\nHello\n\ncontact c-1\nnotification n-1\n```", content(notify.Message{ID: "n-1",
		Type: "contact", SubjectID: "c-1", Text: "Hello"}))
	assert.Equal(t, map[string]any{"parse": []any{}}, sent["allowed_mentions"])
	assert.Equal(t, "SipEat", sent["username"])
	assert.EqualValues(t, 4, sent["flags"], "no previews")
	assert.Equal(t, "thread_id=7&wait=true", r.last.URL.RawQuery)
	assert.Regexp(t, `^DiscordBot \(https://.*, .+\)$`, r.last.Header.Get("User-Agent"))

	for _, text := range []string{
		"", "@everyone <@1> <@&2> <#3>", "```\n@everyone", "````````", "``", "`", "[x](https://evil.example)",
		strings.Repeat("`", 3000), strings.Repeat("👋", 3000), strings.Repeat("é", 3000), "a\x00b\xff",
	} {
		got := content(notify.Message{ID: text, Type: text, SubjectID: text, Text: text})
		assert.LessOrEqual(t, len(utf16.Encode([]rune(got))), 2000, "%.20q", text)
		assert.NotContains(t, got, "\uFFFD\uFFFD")
		assert.Equal(t, 2, strings.Count(got, "```"), "%.20q stays in its block: %.200q", text, got)
		assert.True(t, strings.HasPrefix(got, "**SipEat: notification**\n```\n") && strings.HasSuffix(got, "\n```"))
	}
	assert.Equal(t, 2000, len(utf16.Encode([]rune(content(notify.Message{Text: strings.Repeat("x", 5000)})))),
		"all the room is used")
}

func TestDiscordErrorsSayWhetherItMayHavePosted(t *testing.T) {
	r := newRoom(t)
	d := newDiscord(t, r, nil)
	r.answer = func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) }
	assert.ErrorContains(t, d.Notify(t.Context(), notifytest.Message("n-1")), "it may have posted the message")
	r.Close()
	assert.ErrorContains(t, d.Notify(t.Context(), notifytest.Message("n-1")), "no connection to Discord")
}

func TestDiscordsWaitIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		header string
		body   string
		wait   time.Duration
	}{
		"a limit":  {429, "2.5", `{"retry_after":2.5}`, 2500 * time.Millisecond},
		"a proxy":  {503, "7", `<html>`, 7 * time.Second},
		"negative": {429, "-5", ``, 0},
		"text":     {429, "soon", ``, 0},
		"too long": {429, "1e300", ``, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			r := newRoom(t)
			r.answer = func(w http.ResponseWriter, _ []byte) {
				w.Header().Set("Retry-After", c.header)
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}
			d := newDiscord(t, r, func() time.Time { return now })
			for range 3 {
				var e *events.Error
				require.ErrorAs(t, d.Notify(t.Context(), notifytest.Message("n-1")), &e)
				assert.Equal(t, events.Unavailable, e.Kind)
				assert.Equal(t, c.wait, e.RetryAfter)
			}
			if c.status == 429 && c.wait > 0 {
				assert.Equal(t, 1, r.asked, "the others wait")
			}
			r.answer = nil
			now = now.Add(c.wait)
			require.NoError(t, d.Notify(t.Context(), notifytest.Message("n-1")))
		})
	}
}

// prober is the only channel of a notifier.
func prober(t *testing.T, n notify.Notifier) notify.Prober {
	t.Helper()
	if channel, ok := n.(notify.Channel); ok {
		n = channel.Notifier
	}
	p, ok := n.(notify.Prober)
	require.True(t, ok, "%T", n)
	return p
}

func TestDiscordProbe(t *testing.T) {
	r := newRoom(t)
	n := prober(t, newDiscord(t, r, time.Now))
	_, err := n.Probe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, http.MethodGet, r.last.Method)
	assert.Equal(t, webhook, r.last.URL.String(), "without the query of a post")
	for status, text := range map[int]string{404: "the webhook is gone", 500: "answered 500"} {
		r.status(status, "")()
		_, err = n.Probe(t.Context())
		require.ErrorContains(t, err, text)
		assert.NotContains(t, err.Error(), "canary")
	}
}
