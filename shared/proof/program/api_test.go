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

// refusal is a request that is answered with a problem.
type refusal struct {
	name     string
	method   string // "" = POST
	path     string // "" = /contacts
	body     string
	headers  []string
	status   int
	pointers []string // in the answer's order; nil = none are named
	says     string   // in the detail, or in the detail of a pointer
}

func contactWith(t *testing.T, field string, value any) string {
	return with(t, AContact, map[string]any{field: value})
}

func refusals(t *testing.T) []refusal {
	drinks := func(n int) string {
		return with(t, aRequest, map[string]any{"drinksList": slices.Repeat([]string{"Mate"}, n)})
	}
	return []refusal{
		// 400: it cannot be read as that command
		{name: "no JSON", body: `{"name":}`, status: 400, says: "column 9"},
		{name: "the position counts lines", body: "{\n \"name\": nul}", status: 400, says: "line 2"},
		{name: "half a document", body: `{"name":"Ada"`, status: 400, says: "ends in the middle"},
		{name: "two documents", body: AContact + AContact, status: 400, says: "after top-level value"},
		{name: "a list", body: `[` + AContact + `]`, status: 400, says: "not a JSON object"},
		{name: "empty", body: " ", status: 400, says: "empty"},
		{name: "unknown field", body: contactWith(t, "nmae", "x"), status: 400, pointers: []string{"/nmae"}},
		{name: "other case", body: contactWith(t, "Name", "x"), status: 400, pointers: []string{"/Name"}},
		{name: "the id is ours to give", body: contactWith(t, "id", "c-1"), status: 400, pointers: []string{"/id"}},
		{name: "the timestamp is ours to give", body: contactWith(t, "timestamp", "2026-11-23T06:54:21Z"), status: 400, pointers: []string{"/timestamp"}},
		{name: "twice the same field", body: strings.Replace(AContact, "{", `{"name":"Bob",`, 1), status: 400, pointers: []string{"/name"}},
		{name: "wrong type", body: contactWith(t, "name", 7), status: 400, pointers: []string{"/name"}},
		{name: "wrong type in a list", path: "/requests", body: with(t, aRequest, map[string]any{"drinksList": []any{"Mate", 7}}), status: 400, pointers: []string{"/drinksList/1"}},
		{name: "the first of several", body: `{"nmae":"x","email":1,"phone":true}`, status: 400, pointers: []string{"/nmae"}},
		{name: "not UTF-8", body: strings.Replace(AContact, "Ada", "A\xffa", 1), status: 400, pointers: []string{"/name"}, says: "UTF-8"},
		{name: "half a surrogate pair", body: strings.Replace(AContact, "Ada", `\ud800`, 1), status: 400, says: "surrogate"},
		{name: "deep nesting", body: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), status: 400},
		{name: "idempotency key with a space", body: AContact, headers: []string{"Idempotency-Key: a b"}, status: 400, says: "Idempotency-Key"},
		{name: "idempotency key too long", body: AContact, headers: []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, status: 400, says: "255"},

		// 422: it can be read, and is not acceptable
		{name: "nothing", body: `{}`, status: 422, pointers: []string{"/name", "/email", "/phone", "/message"}},
		{name: "null", body: strings.Replace(AContact, `"Ada Lovelace"`, "null", 1), status: 422, pointers: []string{"/name"}},
		{name: "blank", body: contactWith(t, "name", " \u00a0 "), status: 422, pointers: []string{"/name"}},
		{name: "too long", body: contactWith(t, "name", strings.Repeat("é", 201)), status: 422, pointers: []string{"/name"}, says: "200"},
		{name: "control character", body: contactWith(t, "name", "Ada\x07"), status: 422, pointers: []string{"/name"}},
		{name: "line break where there is one line", body: contactWith(t, "name", "Ada\nBob"), status: 422, pointers: []string{"/name"}},
		{name: "no address", body: contactWith(t, "email", "ada.example.com"), status: 422, pointers: []string{"/email"}},
		{name: "two addresses", body: contactWith(t, "email", "a@example.com, b@example.com"), status: 422, pointers: []string{"/email"}},
		{name: "address with a name", body: contactWith(t, "email", "Ada <ada@example.com>"), status: 422, pointers: []string{"/email"}},
		{name: "header in an address", body: contactWith(t, "email", "ada@example.com\r\nBcc: all@example.com"), status: 422, pointers: []string{"/email"}},
		{name: "no phone number", body: contactWith(t, "phone", "call me"), status: 422, pointers: []string{"/phone"}},
		{name: "no drinks", path: "/requests", body: drinks(0), status: 422, pointers: []string{"/drinksList"}},
		{name: "21 drinks", path: "/requests", body: drinks(21), status: 422, pointers: []string{"/drinksList"}, says: "20"},
		{name: "a blank drink", path: "/requests", body: with(t, aRequest, map[string]any{"drinksList": []string{"Mate", ""}}), status: 422, pointers: []string{"/drinksList/1"}},
		{name: "machine without a city", path: "/machines", body: with(t, aMachine, map[string]any{"city": nil}), status: 422, pointers: []string{"/city"}},
		{name: "notification of no known type", path: "/notifications", body: with(t, aNotification, map[string]any{"type": "weather"}), status: 422, pointers: []string{"/type"}},
		{name: "notification to nobody's address", path: "/notifications", body: with(t, aNotification, map[string]any{"recipientEmail": "x"}), status: 422, pointers: []string{"/recipientEmail"}},

		{name: "over 64 KiB", body: contactWith(t, "message", strings.Repeat("x", 64<<10)), status: 413, says: "64 KiB"},
		{name: "no content type", body: AContact, headers: []string{"Content-Type: "}, status: 415},
		{name: "a form", body: AContact, headers: []string{"Content-Type: application/x-www-form-urlencoded"}, status: 415, says: "application/json"},
		{name: "another charset", body: AContact, headers: []string{"Content-Type: application/json; charset=latin1"}, status: 415},
		{name: "compressed", body: AContact, headers: []string{"Content-Encoding: gzip"}, status: 415},

		{name: "no such path", method: "GET", path: "/people", status: 404},
		{name: "below a thing", method: "GET", path: "/contacts/1/2", status: 404},
		{name: "no such thing", method: "GET", path: "/contacts/nobody", status: 404, says: "nobody"},

		{name: "cursor that is none", method: "GET", path: "/contacts?cursor=abc", status: 400, pointers: []string{"/cursor"}},
		{name: "limit of nothing", method: "GET", path: "/contacts?limit=0", status: 400, pointers: []string{"/limit"}},
		{name: "limit over 100", method: "GET", path: "/contacts?limit=101", status: 400, pointers: []string{"/limit"}},
		{name: "unknown filter", method: "GET", path: "/contacts?town=Berlin", status: 400, pointers: []string{"/town"}},
		{name: "filter of another list", method: "GET", path: "/contacts?city=Berlin", status: 400, pointers: []string{"/city"}},
		{name: "filter twice", method: "GET", path: "/machines?city=Berlin&city=Bonn", status: 400, pointers: []string{"/city"}},
		{name: "empty filter", method: "GET", path: "/machines?city=", status: 400, pointers: []string{"/city"}},
		{name: "since no time", method: "GET", path: "/machines?since=yesterday", status: 400, pointers: []string{"/since"}},
		{name: "type that there is not", method: "GET", path: "/notifications?type=weather", status: 400, pointers: []string{"/type"}},
		{name: "all filters that are faulty", method: "GET", path: "/machines?limit=x&since=x", status: 400, pointers: []string{"/limit", "/since"}},
		{name: "parameter of one thing", method: "GET", path: "/contacts/1?city=Berlin", status: 400, pointers: []string{"/city"}},
	}
}

func TestAPIRefuses(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, r := range refusals(t) {
		if r.method == "" {
			r.method = "POST"
		}
		if r.path == "" {
			r.path = "/contacts"
		}
		t.Run(r.name, func(t *testing.T) {
			a, err := Try(r.method, s.URL+r.path, r.body, r.headers...)
			for n := 0; n < 5 && err != nil && r.status == http.StatusRequestEntityTooLarge; n++ {
				a, err = Try(r.method, s.URL+r.path, r.body, r.headers...) // it was still sending when the server hung up
			}
			require.NoError(t, err)
			require.Equal(t, r.status, a.Status, a.Body)
			assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
			p := Decoded[Problem](t, a.Body)
			assert.Equal(t, r.status, p.Status)
			assert.NotEmpty(t, p.Type)
			assert.NotEmpty(t, p.Title)
			path, _, _ := strings.Cut(r.path, "?")
			assert.Equal(t, path, p.Instance)
			if r.pointers != nil {
				assert.Equal(t, r.pointers, p.Pointers(), a.Body)
			}
			assert.Contains(t, a.Body, r.says)
		})
	}
	t.Run("nothing of it became an event", func(t *testing.T) {
		for topic := range Groups {
			assert.Empty(t, Records(t, s.Kafka, topic))
		}
	})
}

func TestAPINamesTheMethodsThereAre(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for path, allow := range map[string]string{
		"/contacts": "GET, HEAD, POST", "/machines": "GET, HEAD, POST", "/requests": "GET, HEAD, POST", "/notifications": "GET, HEAD, POST",
		"/contacts/1": "GET, HEAD", "/demand": "GET, HEAD", "/healthz": "GET, HEAD", "/readyz": "GET, HEAD",
	} {
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			a := Call(t, method, s.URL+path, "")
			assert.Equal(t, http.StatusMethodNotAllowed, a.Status, path)
			assert.Equal(t, allow, a.Header.Get("Allow"), path)
			assert.Equal(t, 405, Decoded[Problem](t, a.Body).Status)
		}
	}
}

func TestAPIAnswersForTheLoadBalancer(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, path := range []string{"/healthz", "/readyz"} {
		var a Answer
		Until(t, func() error { // the consumers have joined their groups
			a = Call(t, "GET", s.URL+path, "")
			return errorUnless(a.Status == http.StatusOK, a.Body)
		})
		assert.Equal(t, "application/json", a.Header.Get("Content-Type"))
	}
}

// A retry under the same key is the same event; the same key with another body is another request.
func TestAPIRepeatsUnderAnIdempotencyKeyAreOne(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const key = "Idempotency-Key: 0d4a9f1e"
	for _, e := range endpoints {
		first := s.Post(e.path, e.body, key)
		again := s.Post(e.path, " "+strings.Replace(e.body, ",", " ,\n", 1), key)
		assert.Equal(t, first.ID, again.ID, "white space has no meaning")
		assert.Equal(t, first.EventID, again.EventID)
		assert.Equal(t, first.Partition, again.Partition)
		other := s.Post(e.path, strings.NewReplacer("Ada", "Eve", "Hall", "Room", "Alan", "Eve", "Somebody", "Nobody").Replace(e.body), key)
		assert.NotEqual(t, first.EventID, other.EventID)
		unkeyed := s.Post(e.path, e.body)
		assert.NotEqual(t, first.EventID, unkeyed.EventID)
		for _, a := range []Accepted{first, other, unkeyed} {
			s.Readable(e.path, a.ID)
		}
		Handled(t, s.Kafka, Groups[e.topic], e.topic)
		mine := slices.DeleteFunc(s.Pages(e.path, "", 100), func(item Thing) bool { // without what follows from the others
			return e.topic == "notification" && item["subjectId"] != "c-1"
		})
		assert.Len(t, mine, 3, e.path)
	}
	assert.Len(t, s.Pages("/notifications", "type=contact&", 100), 3+3, "a repeat tells nobody anything again")
	demand := s.Pages("/demand", "", 10)
	require.Len(t, demand, 1)
	assert.InEpsilon(t, 3, demand[0]["count"], 0.01)
}

// What was accepted can be read back, with everything that was sent.
func TestAPIShowsWhatWasSent(t *testing.T) {
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

// Who asks before the event is there waits for it, and no longer.
func TestAPIWaitsForWhatIsOnItsWay(t *testing.T) {
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
	Until(t, func() error { // the question has been there for a while
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

	started := time.Now()
	assert.Equal(t, http.StatusNotFound, Call(t, "GET", s.URL+"/contacts/nobody", "").Status)
	assert.Less(t, time.Since(started), time.Second, "nobody waits who has not asked to")
}
