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
)

const webhook = "/api/webhooks/123/token-canary"

// room is Discord.
type room struct {
	*httptest.Server
	mutex  sync.Mutex
	asked  int
	posts  []string
	last   *http.Request
	answer func(w http.ResponseWriter, body []byte) // nil = it takes the message
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
	channels, err := notify.New(notify.Settings{Notify: "discord", DiscordWebhook: r.URL + webhook + "?thread_id=7", HTTP: r.Client(), Now: now})
	require.NoError(t, err)
	return channels
}

// status answers with a code, a body, and what it was sent.
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
			Told: func() []string {
				r.mutex.Lock()
				defer r.mutex.Unlock()
				return r.posts
			},
			Outages: map[string]func(){
				"429":            r.status(429, `{"message":"QUOTE","retry_after":1.5}`),
				"429 by a proxy": r.status(429, `<html>QUOTE`),
				"500":            r.status(500, `QUOTE`),
				"502":            r.status(502, `QUOTE`),
				"401":            r.status(401, `{"message":"QUOTE","code":50027}`),
				"403":            r.status(403, `{"message":"QUOTE","code":50013}`),
				"404":            r.status(404, `{"message":"QUOTE","code":10015}`),
				"a redirect":     r.status(302, ``),
				"no server":      r.Close,
				"half an answer": func() { r.answer = func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) } },
			},
			Refusals: map[string]func(){
				"content":          r.status(400, `{"code":50035,"message":"QUOTE","errors":{"content":{"_errors":[{"message":"QUOTE"}]}}}`),
				"empty":            r.status(400, `{"code":50006,"message":"QUOTE"}`),
				"moderation":       r.status(400, `{"code":200000,"message":"QUOTE"}`),
				"harmful links":    r.status(400, `{"code":240000}`),
				"explicit content": r.status(400, `{"code":20009}`),
			},
			Unclear: map[string]func(){
				"another field":    r.status(400, `{"code":50035,"message":"QUOTE","errors":{"username":{}}}`),
				"something":        r.status(400, `QUOTE`),
				"a wrong type":     r.status(415, `QUOTE`),
				"a form of thread": r.status(400, `{"code":220001}`),
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

func TestWhatDiscordIsSent(t *testing.T) {
	r := newRoom(t)
	var sent map[string]any
	r.answer = func(w http.ResponseWriter, body []byte) { assert.NoError(t, json.Unmarshal(body, &sent)) }
	d := newDiscord(t, r, nil)
	content := func(m notify.Message) string {
		require.NoError(t, d.Notify(t.Context(), m))
		return sent["content"].(string)
	}
	assert.Equal(t, "**SipEat: contact**\n```\nHello\n\ncontact c-1\nnotification n-1\n```", content(notify.Message{ID: "n-1", Type: "contact", SubjectID: "c-1", Text: "Hello"}))
	assert.Equal(t, map[string]any{"parse": []any{}}, sent["allowed_mentions"])
	assert.Equal(t, "SipEat", sent["username"])
	assert.EqualValues(t, 4, sent["flags"], "no previews")
	assert.Equal(t, "thread_id=7&wait=true", r.last.URL.RawQuery)
	assert.Regexp(t, `^DiscordBot \(https://.*, .+\)$`, r.last.Header.Get("User-Agent"))

	for _, text := range []string{"", "@everyone <@1> <@&2> <#3>", "```\n@everyone", "````````", "``", "`", "[x](https://evil.example)", strings.Repeat("`", 3000), strings.Repeat("👋", 3000), strings.Repeat("é", 3000), "a\x00b\xff"} {
		got := content(notify.Message{ID: text, Type: text, SubjectID: text, Text: text})
		assert.LessOrEqual(t, len(utf16.Encode([]rune(got))), 2000, "%.20q", text)
		assert.NotContains(t, got, "\uFFFD\uFFFD")
		assert.Equal(t, 2, strings.Count(got, "```"), "%.20q stays in its block: %.200q", text, got)
		assert.True(t, strings.HasPrefix(got, "**SipEat: notification**\n```\n") && strings.HasSuffix(got, "\n```"))
	}
	assert.Equal(t, 2000, len(utf16.Encode([]rune(content(notify.Message{Text: strings.Repeat("x", 5000)})))), "all the room is used")
}

func TestWhatDiscordMayHavePosted(t *testing.T) {
	gone := newRoom(t)
	gone.Close()
	err := newDiscord(t, gone, nil).Notify(t.Context(), notifytest.Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "no connection to Discord")
	assert.NotContains(t, err.Error(), "token-canary")

	silent := newRoom(t)
	silent.answer = func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) }
	err = newDiscord(t, silent, nil).Notify(t.Context(), notifytest.Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "it may have posted the message")
}

func TestDiscordsWaitsAreKept(t *testing.T) {
	now := noon
	var mutex sync.Mutex
	clock := func() time.Time { mutex.Lock(); defer mutex.Unlock(); return now }
	for what, answer := range map[string]func(w http.ResponseWriter, _ []byte){
		"by its body": func(w http.ResponseWriter, _ []byte) {
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"retry_after":2.5}`)
		},
		"by its header": func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Retry-After", "2.5")
			w.WriteHeader(http.StatusTooManyRequests)
		},
	} {
		r := newRoom(t)
		r.answer = answer
		d := newDiscord(t, r, clock)
		for range 3 { // only the first of them asks
			err := d.Notify(t.Context(), notifytest.Message("n-1"))
			require.Equal(t, events.Unavailable, events.KindOf(err))
			var e *events.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, 2500*time.Millisecond, e.RetryAfter, what)
		}
		assert.Equal(t, 1, r.asked)
		r.answer = func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset-After", "1")
		}
		now = now.Add(2500 * time.Millisecond)
		require.NoError(t, d.Notify(t.Context(), notifytest.Message("n-1")))
		assert.Error(t, d.Notify(t.Context(), notifytest.Message("n-1")), "the last of this window was the one before")
		assert.Equal(t, 2, r.asked)
	}
	for status, said := range map[int]string{429: "Mon, 23 Nov 2026 12:00:07 GMT", 503: "Monday, 23-Nov-26 12:00:07 GMT"} { // what proxies say
		r := newRoom(t)
		r.answer = func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Retry-After", said)
			w.WriteHeader(status)
		}
		var e *events.Error
		require.ErrorAs(t, newDiscord(t, r, func() time.Time { return noon }).Notify(t.Context(), notifytest.Message("n-1")), &e)
		assert.Equal(t, 7*time.Second, e.RetryAfter, status)
	}
	for _, odd := range []string{`-5`, `"x"`, `1e999`, `null`} {
		r := newRoom(t)
		r.status(429, `{"retry_after":`+odd+`}`)()
		var e *events.Error
		require.ErrorAs(t, newDiscord(t, r, clock).Notify(t.Context(), notifytest.Message("n-1")), &e)
		assert.Zero(t, e.RetryAfter, odd)
	}
}
