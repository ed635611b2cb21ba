package program

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refusal is a request and the problem that answers it.
type refusal struct {
	name     string
	method   string // "" = POST
	path     string // "" = /contacts
	body     string
	headers  []string
	status   int
	pointers []string // in the answer's order; nil = any
	says     string   // in the detail, or in the detail of a pointer
}

func contactWith(t *testing.T, field string, value any) string {
	return with(t, AContact, map[string]any{field: value})
}

func refusals(t *testing.T) []refusal {
	return []refusal{
		// 400: unreadable as that command
		{name: "no JSON", body: `{"name":}`, status: 400, says: "column 9"},
		{name: "two documents", body: AContact + AContact, status: 400, says: "after top-level value"},
		{name: "a list", body: `[` + AContact + `]`, status: 400, says: "not a JSON object"},
		{name: "unknown field", body: contactWith(t, "nmae", "x"), status: 400, pointers: []string{"/nmae"}},
		{name: "an id from outside", body: contactWith(t, "id", "c-1"), status: 400, pointers: []string{"/id"}},
		{name: "duplicate field", body: strings.Replace(AContact, "{", `{"name":"Bob",`, 1), status: 400, pointers: []string{"/name"}},
		{name: "wrong type", body: contactWith(t, "name", 7), status: 400, pointers: []string{"/name"}},
		{name: "not UTF-8", body: strings.Replace(AContact, "Ada", "A\xffa", 1), status: 400,
			pointers: []string{"/name"}, says: "UTF-8"},
		{name: "deep nesting", body: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), status: 400},
		{name: "idempotency key with a space", body: AContact, headers: []string{"Idempotency-Key: a b"},
			status: 400, says: "Idempotency-Key"},

		// 422: readable and not acceptable
		{name: "empty object", body: `{}`, status: 422, pointers: []string{"/name", "/email", "/phone", "/message"}},
		{name: "a header in an address", body: contactWith(t, "email", "ada@example.com\r\nBcc: all@example.com"),
			status: 422, pointers: []string{"/email"}},
		{name: "a blank drink", path: "/requests", body: with(t, aRequest, map[string]any{"drinksList": []string{"Mate", ""}}),
			status: 422, pointers: []string{"/drinksList/1"}},
		{name: "no city", path: "/machines", body: with(t, aMachine, map[string]any{"city": nil}), status: 422,
			pointers: []string{"/city"}},
		{name: "unknown type", path: "/notifications",
			body: with(t, aNotification, map[string]any{"type": "weather"}), status: 422, pointers: []string{"/type"}},

		{name: "over 64 KiB", body: contactWith(t, "message", strings.Repeat("x", 64<<10)), status: 413, says: "64 KiB"},
		{name: "a form", body: AContact, headers: []string{"Content-Type: application/x-www-form-urlencoded"},
			status: 415, says: "application/json"},
		{name: "compressed", body: AContact, headers: []string{"Content-Encoding: gzip"}, status: 415},

		{name: "unknown path", method: "GET", path: "/people", status: 404},
		{name: "unknown id", method: "GET", path: "/contacts/nobody", status: 404, says: "nobody"},
		{name: "wrong method", method: "DELETE", path: "/contacts", status: 405},

		{name: "wrong cursor", method: "GET", path: "/contacts?cursor=abc", status: 400, pointers: []string{"/cursor"}},
		{name: "several faulty filters", method: "GET", path: "/machines?limit=x&since=x", status: 400,
			pointers: []string{"/limit", "/since"}},
		{name: "filter of another list", method: "GET", path: "/contacts?city=Berlin", status: 400, pointers: []string{"/city"}},
	}
}

func TestIdempotencyKeyMakesARetryTheSameEvent(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const key = "Idempotency-Key: 0d4a9f1e"
	for _, e := range endpoints {
		first := s.Post(e.path, e.body, key)
		again := s.Post(e.path, " "+strings.Replace(e.body, ",", " ,\n", 1), key)
		assert.Equal(t, first.ID, again.ID, "white space is ignored")
		assert.Equal(t, first.EventID, again.EventID)
		assert.Equal(t, first.Partition, again.Partition)
		other := s.Post(e.path, strings.NewReplacer("Ada", "Eve", "Hall", "Room", "Alan", "Eve", "Somebody",
			"Nobody").Replace(e.body), key)
		assert.NotEqual(t, first.EventID, other.EventID)
		unkeyed := s.Post(e.path, e.body)
		assert.NotEqual(t, first.EventID, unkeyed.EventID)
		for _, a := range []Accepted{first, other, unkeyed} {
			s.Readable(e.path, a.ID)
		}
		Handled(t, s.Kafka, Groups[e.topic], e.topic)
		mine := slices.DeleteFunc(s.Pages(e.path, "", 100), func(item Thing) bool { // without notifications derived from the others
			return e.topic == "notification" && item["subjectId"] != "c-1"
		})
		assert.Len(t, mine, 3, e.path)
	}
	assert.Len(t, s.Pages("/notifications", "type=contact&", 100), 3+3, "a repeat announces nothing")
	demand := s.Pages("/demand", "", 10)
	require.Len(t, demand, 1)
	assert.InEpsilon(t, 3, demand[0]["count"], 0.01)
}

func TestAcceptedBodiesAreReadBackUnchanged(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const name = `<b>Zoë "🥤" O'Neill & 彼女</b>`
	for _, e := range endpoints {
		field := "name"
		if e.topic == "notification" {
			field = "message"
		}
		body := with(t, e.body, map[string]any{field: name})
		before := time.Now().Truncate(time.Millisecond)
		a := s.Post(e.path, body)
		assert.Equal(t, e.topic, a.Topic)
		got := s.Readable(e.path, a.ID)
		assert.Equal(t, a.EventID, got["eventId"])
		created, err := time.Parse("2006-01-02T15:04:05.000Z", got["createdAt"].(string))
		require.NoError(t, err)
		assert.False(t, created.Before(before))
		want := Decoded[Thing](t, body)
		for _, added := range []string{"id", "timestamp", "eventId", "createdAt"} {
			want[added] = got[added]
		}
		delete(got, "deliveries") // of a notification
		assert.Equal(t, want, got)
		head := Call(t, "HEAD", s.URL+e.path+"/"+a.ID, "")
		assert.Equal(t, http.StatusOK, head.Status)
		assert.Empty(t, head.Body)
	}
}

func TestPreferWaitAnswersWhenTheEventArrives(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const key = "Idempotency-Key: known-before"
	twin := serve(t, t.TempDir()) // the same key and body give the same id, on any machine
	id := twin.Post("/contacts", AContact, key).ID

	early := make(chan Answer, 1)
	go func() {
		a, _ := Try("GET", s.URL+"/contacts/"+id, "", "Prefer: wait=20")
		early <- a
	}()
	Until(t, func() error { // the early request is waiting
		a := Call(t, "GET", s.URL+"/contacts/"+id, "", "Prefer: wait=1")
		if a.Status != http.StatusNotFound || a.Header.Get("Preference-Applied") != "wait=1" {
			return fmt.Errorf("answered %d %v", a.Status, a.Header)
		}
		return nil
	})
	assert.Empty(t, early)
	require.Equal(t, id, s.Post("/contacts", AContact, key).ID)
	a := <-early
	assert.Equal(t, http.StatusOK, a.Status, a.Body)
	assert.Equal(t, "wait=20", a.Header.Get("Preference-Applied"))
}
