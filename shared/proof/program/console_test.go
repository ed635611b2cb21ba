package program

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const asJSON = "Accept: application/json"

var views = []string{"now", "dead-letters", "contacts", "machines", "requests", "notifications", "demand",
	"audit", "rebuild", "journey", "topics", "topics/notification", "topics/notification/records"}

func TestConsoleShowsNow(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	s := serve(t, t.TempDir(), "TZ=Asia/Tokyo")
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	p.open(s.URL)
	p.shows("header", "Times are UTC")
	p.shows("#sentence", "All good.")
	assert.True(t, eval[bool](p, `document.querySelector('#signin').offsetParent === null`), "nobody has to sign in on loopback")
	p.shows("td", "sipeat-")
	p.holds(`document.querySelectorAll('svg.plot polyline').length === 8`)
	assert.Equal(t, "/console/now", eval[string](p, `location.pathname`))
	p.pictures("now")
	p.fitsPhones("now")
	p.open(s.URL + "/console/rebuild")
	p.shows("td", "2 of 2")
	p.shows("td", "holds all")
	p.shows("pre", "sipeat rebuild --data "+s.Data)
	assert.Equal(t, http.StatusBadRequest, Call(t, "GET", s.URL+"/console/rebuild?table=x%3Brm", "", asJSON).Status)
	empty, err := sqlite.Open(t.Context(), filepath.Join(s.Data, "empty.db"))
	require.NoError(t, err)
	require.NoError(t, empty.Close())
	p.shows("#models button", "Compare")
	p.tabTo("#models button")
	p.press(kb.Enter)
	p.shows("li", "is in "+filepath.Join(s.Data, "read-model.db")+" only")
	p.pictures("rebuild")
	p.fitsPhones("rebuild")
	p.open(s.URL + "/console/topics")
	p.shows("td", "as declared")
	p.pictures("topics")
	p.fitsPhones("topics")
	p.tabTo("td a[href$=contact-created]")
	p.press(kb.Enter)
	p.shows("caption", "Partitions")
	p.tabTo("#records")
	p.press(kb.Enter)
	p.shows("td code", "Ada Lovelace")
	written, err := time.Parse(time.DateTime, eval[string](p, `document.querySelector('td time').innerText`))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), written, time.Hour, "times are UTC, wherever the server is")
	p.shows("button", "Pause")
	p.tabTo("details:last-of-type summary")
	p.press(kb.Enter)
	p.shows("pre", "at most 200 characters")
	p.pictures("topic")
	p.fitsPhones("topic")
	for _, path := range []string{"nothing", "nothing/records", "__consumer_offsets/records"} {
		assert.Equal(t, http.StatusNotFound, Call(t, "GET", s.URL+"/console/topics/"+path, "", asJSON).Status)
	}
	p.open(s.URL + "/console/now")
	p.press(kb.Tab)
	assert.Equal(t, "Skip to the content", eval[string](p, `document.activeElement.textContent`))
	p.press(kb.Tab)
	assert.Equal(t, "Now", eval[string](p, `document.activeElement.textContent`))
	s.Kill()
	p.shows("#status", "does not answer")
	p.takeErrors() // of the requests
}

// A notification that Discord refuses is found, previewed and redriven, by keyboard alone. A conflict is refused and discarded.
func TestConsoleRedrives(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	var accepts atomic.Bool
	discord := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(map[bool]int{true: http.StatusNoContent, false: http.StatusBadRequest}[accepts.Load()])
	}))
	defer discord.Close()
	s := serve(t, t.TempDir(), "NOTIFY=discord", "DISCORD_WEBHOOK="+discord.URL+"/api/webhooks/1/x")
	first := s.Post("/contacts", AContact)
	s.Readable("/contacts", first.ID)
	conflict := `{"eventId":"e-1","eventType":"contact-created","data":{"id":"` + first.ID + `","name":"Eve"}}`
	require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Key: []byte(first.ID),
		Value: []byte(conflict)}).FirstErr())
	Until(t, func() error {
		a := Call(t, "GET", s.URL+"/console/dead-letters", "", asJSON)
		return ErrorUnless(strings.Contains(a.Body, `"total":2`), a.Body)
	})
	accepts.Store(true)
	p.open(s.URL + "/console/now")
	p.shows("td", "1 new")
	p.open(s.URL + "/console/dead-letters")
	p.shows("caption", "2 events")
	p.shows("caption", "Groups by consumer, class and reason")
	p.pictures("dead-letters")
	p.fitsPhones("dead-letters")
	p.shows("td", `contact-created "…" exists with other content`)
	p.tabTo("td a[href*=notification]") // its group
	p.press(kb.Enter)
	p.shows("caption", "1 event")
	assert.Contains(t, eval[string](p, `location.search`), "class=exhausted")
	assert.Contains(t, eval[string](p, `location.search`), "reason=")
	p.open(s.URL + "/console/topics/notification.dead-letters")
	p.tabTo("#records")
	p.press(kb.Enter)
	p.shows("td small", "by sipeat-notification-consumer as exhausted: ")
	p.open(s.URL + "/console/dead-letters?topic=notification")
	p.shows("caption", "1 event")
	p.tabTo("td a[href*='/dead-letters/notification/']")
	p.press(kb.Enter)
	p.shows("pre", "New contact")
	p.pictures("dead-letter")
	p.fitsPhones("dead-letter")
	p.open(s.URL + "/console/dead-letters")
	p.shows("caption", "2 events")
	p.tabTo("#preview button")
	p.press(kb.Enter)
	p.shows("#previewed", "1 of 2 events can be redriven")
	p.shows("td", "would be rejected again")
	p.pictures("dead-letters-preview")
	p.tabTo("#redrive button")
	p.press(kb.Enter)
	p.shows("#ended", "1 redriven")
	p.shows("#ended", "1 refused")
	assert.Equal(t, "Show what is left", eval[string](p, `document.activeElement.textContent`), "in the place of Stop")
	p.pictures("dead-letters-redriven")
	p.fitsPhones("dead-letters-redriven")
	p.open(s.URL + "/console/journey")
	p.tabTo("#find input")
	p.press(first.ID, kb.Enter)
	p.shows("section section li", "rejected by sipeat-notification-consumer as exhausted after 5 attempts, now redriven")
	p.shows("section section li", "attempt 5 failed after")
	p.shows("section section li", "redrive 1, handled")
	p.shows("section li", "POST /contacts or `sipeat publish`")
	p.shows("section section li", "discord delivered")
	p.shows("section li", "the row in the read model is of event "+first.EventID) // that of the conflict
	p.tabTo("summary")
	p.press(kb.Enter)
	p.shows("pre", "Ada Lovelace")
	p.pictures("journey")
	p.fitsPhones("journey")
	p.open(s.URL + "/console/dead-letters")
	p.shows("caption", "1 event")
	p.tabTo("#preview button")
	p.press(kb.Enter)
	p.shows("#previewed", "0 of 1 event")
	p.tabTo("#discard input")
	p.press("test data", kb.Tab, " ", kb.Tab, kb.Enter)
	p.shows("#ended", "1 discarded")
	p.open(s.URL + "/console/dead-letters")
	p.shows("#none", "No dead letter matches")
	p.open(s.URL + "/console/audit")
	p.shows("td", "test data")
	p.shows("td", "1 redriven, 1 refused")
	p.pictures("audit")
	p.fitsPhones("audit")
	p.tabTo("#save")
	p.press(kb.Enter)
	p.shows("#status", "Saved.")
	exported := Call(t, "GET", s.URL+"/console/audit/records", "").Body
	assert.Len(t, Lines(exported), 6, "a begin, an item and an end of each action")
	audit := s.fleet().Run("dead-letters", "audit", "--json").Stdout
	assert.Contains(t, audit, `"reason":"test data"`)
	assert.Contains(t, audit, `"kind":"redrive"`)
}

// While the brokers are away the page says so, and comes back by itself.
func TestConsoleComesBack(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	data := t.TempDir()
	broker := embedded(t, data)
	f := newFleet(t, broker.Address())
	f.Worker()
	s := &Serving{Process: Start(t, f.command("console", "--http", "127.0.0.1:0")), Kafka: f.Brokers}
	s.Ready()
	p.open(s.URL)
	p.shows("#sentence", "All good.")
	require.NoError(t, broker.Close())
	p.shows("#sentence", "The brokers cannot be read")
	assert.Equal(t, http.StatusServiceUnavailable, Call(t, "GET", s.URL+"/console/dead-letters", "", asJSON).Status)
	again, err := local.Open(t.Context(), local.Options{Dir: filepath.Join(data, "kafka"), Address: f.Brokers})
	require.NoError(t, err)
	t.Cleanup(func() { again.Close() })
	p.holds(`!document.querySelector('#sentence').innerText.includes('cannot be read')`)
	p.takeErrors() // of requests
}

// No viewer waits for brokers that accept connections and do not answer: the last known state is shown, with its time.
func TestConsoleShowsTheLastState(t *testing.T) {
	t.Parallel()
	broker := serve(t, t.TempDir())
	s := &Serving{Process: Start(t, broker.fleet().command("console", "--http", "127.0.0.1:0")), Kafka: broker.Kafka}
	s.Ready()
	type state struct {
		At      time.Time
		Problem string
		Topics  []any
	}
	now := func() state { return Decoded[state](t, Call(t, "GET", s.URL+"/console/now", "", asJSON).Body) }
	Until(t, func() error { return ErrorUnless(len(now().Topics) == 4, "no state yet") })
	broker.Signal(syscall.SIGSTOP)
	var longest time.Duration
	Until(t, func() error {
		began := time.Now()
		got := now()
		longest = max(longest, time.Since(began))
		assert.Len(t, got.Topics, 4)
		assert.False(t, got.At.IsZero())
		return ErrorUnless(got.Problem != "", "it does not say that the brokers do not answer")
	})
	assert.Less(t, longest, 4*time.Second, "the brokers time out after 5 s")
	broker.Signal(syscall.SIGCONT)
	Until(t, func() error { return ErrorUnless(now().Problem == "", "the brokers answer again") })
}

func TestConsoleShowsBusiness(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	s := serve(t, t.TempDir())
	const hostile = "<img src=x onerror=alert(1)> \u202egnp.exe"
	event := `{"eventId":"e-1","eventType":"contact-created","data":{"id":"a/b?c#d","name":"` + hostile + `","message":"` +
		strings.Repeat("x", 100_000) + `"}}`
	require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Key: []byte("a/b?c#d"),
		Value: []byte(event)}).FirstErr())
	s.Readable("/contacts", "a/b?c#d")
	s.Readable("/machines", s.Post("/machines", aMachine).ID)
	for n, drinks := range []string{`["Mate","Cola"]`, `["Mate"]`, `["Mate","<img src=x onerror=alert(1)>"]`} {
		body := strings.Replace(aRequest, `["Mate"]`, drinks, 1)
		if n == 0 {
			body = strings.Replace(body, "Milton Keynes", "Berlin", 1)
		}
		s.Readable("/requests", s.Post("/requests", body).ID)
	}
	for n := range 25 {
		s.Post("/notifications", with(t, aNotification, map[string]any{"message": fmt.Sprintf("Message %d.", n)}))
	}
	for view, says := range map[string]string{"contacts": `\u202egnp.exe`, "machines": "Hall 3", "requests": "Mate, Cola",
		"demand": "<img src=x", "requests?city=berlin": "Mate, Cola", "demand?city=milton+keynes": "Mate"} {
		p.open(s.URL + "/console/" + view)
		p.shows("td", says)
		assert.True(t, eval[bool](p, `!document.querySelector('#view img')`))
		name, _, _ := strings.Cut(view, "?")
		p.pictures(name)
		p.fitsPhones(name)
	}
	p.open(s.URL + "/console/demand")
	p.shows("caption", "3 drinks, requested 5 times")
	eval[int](p, `(window.real = fetch, window.fetch = async (...a) =>
		new Response(JSON.stringify({...await (await real(...a)).json(), complete: false})), views.demand.show(), 0)`)
	p.shows(".warn", "too many places") // also on a page that is open
	p.open(s.URL + "/console/contacts")
	p.shows("td a", "a/b?c#d")
	p.tabTo("td a")
	p.press(kb.Enter)
	p.shows("section li", "handled")
	assert.Equal(t, "/console/journey/a%2Fb%3Fc%23d", eval[string](p, `location.pathname`))
	p.open(s.URL + "/console/requests")
	p.shows("td", "Mate, Cola")
	p.tabTo("input[name=city]")
	p.press("berlin", kb.Enter)
	p.holds(`location.search.includes('city=berlin') && document.querySelectorAll('tbody tr').length === 1`)
	Until(t, func() error {
		return ErrorUnless(len(s.Pages("/notifications", "", 100)) == 30, "not all are projected") // 5 are derived
	})
	p.open(s.URL + "/console/notifications")
	p.shows("td", "log delivered")
	p.pictures("notifications")
	p.fitsPhones("notifications")
	p.tabTo("#next")
	p.press(kb.Enter)
	p.holds(`location.search.includes('cursor') && document.querySelectorAll('tbody tr').length === 10`)

	p.open(s.URL + "/console/live")
	p.shows("#status", "Listening")
	var live Accepted
	Until(t, func() error { // the feed begins with what comes after it has connected
		live = s.Post("/contacts", AContact)
		return ErrorUnless(strings.Contains(eval[string](p, `document.body.innerText`), live.ID), "not shown")
	})
	p.tabTo("td a")
	focused := eval[string](p, `document.activeElement.href`)
	p.shows("tbody", s.Post("/contacts", AContact).ID)
	assert.Equal(t, focused, eval[string](p, `document.activeElement.href`), "the link moves down")
	eval[int](p, `(document.querySelector('#main').focus(), 0)`) // above the list, which may be long
	p.pictures("live")
	p.fitsPhones("live")
	p.tabTo("#pause")
	p.press(kb.Enter)
	p.shows("#status", "Paused")
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	p.press(kb.Enter)
	p.shows("#status", "Listening")
	began := time.Now()
	s.Stop(syscall.SIGTERM)
	assert.Less(t, time.Since(began), 5*time.Second, "a live feed does not hold up the end")
	p.takeErrors() // of the requests
}

// A journey is found by each id of its chain, also one of another program, and is a tree.
func TestJourney(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	f := s.fleet()
	type station struct {
		EventID, Topic, Payload string
		Request                 *struct{ IdempotencyKey bool }
		Records                 []struct{ Handled bool }
		Row                     *struct{ EventID string }
		Deliveries              []struct{ State string }
		Caused                  []station
	}
	journey := func(id string) []station {
		got := f.Run("journey", id, "--json")
		require.Equal(t, 0, got.Status, got.Stderr)
		answer := Call(t, "GET", s.URL+"/console/journey/"+url.PathEscape(id), "", asJSON)
		type journey struct {
			Complete bool
			Events   []station
		}
		assert.Equal(t, Decoded[journey](t, got.Stdout), Decoded[journey](t, answer.Body))
		assert.True(t, Decoded[journey](t, got.Stdout).Complete)
		return Decoded[journey](t, got.Stdout).Events
	}
	first := s.Post("/contacts", AContact)
	s.Post("/contacts", AContact) // another one
	var derived string
	Until(t, func() error {
		a := Call(t, "GET", s.URL+"/console/journey/"+first.ID, "", asJSON)
		return ErrorUnless(strings.Contains(a.Body, `"state":"delivered"`) && !strings.Contains(a.Body, `"handled":false`), a.Body)
	})
	for _, id := range []string{first.ID, first.EventID} {
		events := journey(id)
		require.Len(t, events, 1)
		assert.Equal(t, first.EventID, events[0].EventID)
		assert.Equal(t, first.EventID, events[0].Row.EventID)
		require.Len(t, events[0].Caused, 1)
		assert.Equal(t, "delivered", events[0].Caused[0].Deliveries[0].State)
		derived = events[0].Caused[0].EventID
	}
	assert.Equal(t, first.EventID, journey(derived)[0].EventID, "its cause")
	assert.Contains(t, f.Run("journey", first.ID).Stdout, "log delivered")

	keyed := s.Post("/contacts", AContact, "Idempotency-Key: order-4711", traceparent)
	s.Readable("/contacts", keyed.ID)
	Handled(t, s.Kafka, "contact-created", "notification")
	byKey := journey("order-4711")
	require.Len(t, byKey, 1)
	assert.Equal(t, keyed.EventID, byKey[0].EventID)
	assert.True(t, byKey[0].Request.IdempotencyKey)
	assert.Len(t, byKey[0].Caused, 1)
	said := f.Run("journey", "order-4711").Stdout
	assert.Contains(t, said, "POST /contacts, "+strings.Replace(traceparent, ":", "", 1)+", with an Idempotency-Key")
	assert.Equal(t, 1, f.Run("journey", "order-4712").Status)

	for id, value := range map[string]string{
		"1719400000000-k3j2h1xyz": `{"eventId":"1719400000000-k3j2h1xyz","eventType":"contact-created","data":{"id":"c-1","name":"A",` +
			`"big":12345678901234567890.10},"metadata":{"timestamp":"2024-06-26T11:06:40.000Z","producer":"sipeat-app"}}`,
		"a/\u202e\"": `{"eventId":"a/\u202e\"","eventType":"contact-created","data":{"id":"c-2"},` +
			`"metadata":{"causationId":"a/\u202e\""}}`,
		"c-3": `{"eventId":"ahead","eventType":"contact-created","data":{"id":"c-3"},` +
			`"metadata":{"timestamp":"2999-01-01T00:00:00.000Z"}}`,
	} {
		record := &kgo.Record{Topic: "contact-created", Value: []byte(value)}
		require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), record).FirstErr())
		Until(t, func() error {
			a := Call(t, "GET", s.URL+"/console/journey/"+url.PathEscape(id), "", asJSON)
			return ErrorUnless(strings.Contains(a.Body, `"handled":true`), a.Body)
		})
		assert.Equal(t, value, journey(id)[0].Payload, "exact")
	}
	missing := f.Run("journey", "nothing")
	assert.Equal(t, 1, missing.Status)
	assert.Contains(t, missing.Stderr, "no event")
	assert.Equal(t, http.StatusNotFound, Call(t, "GET", s.URL+"/console/journey/nothing", "", asJSON).Status)
}

// What records hold is shown as text, whatever it is, and lists are bounded.
func TestConsoleShowsHostileRecords(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const hostile = `<script>document.title='owned'</script><img src=x onerror="document.title='owned'">` +
		"\u202egnp.exe\x00\x1b[2J/../a?b#c"
	of := func(topic string, offset int64, text string, value []byte) *kgo.Record {
		return letter(bus.DeadLetter{Consumer: Groups[topic] + text, Class: bus.Classes[0], Reason: text, Attempts: 1, At: time.Now(),
			Record: bus.Record{Topic: topic, Offset: offset, Key: []byte(text), Value: value, Timestamp: time.Now(),
				Headers: []bus.Header{{Key: text, Value: []byte(text)}}}})
	}
	large := []byte(`{"x":"` + hostile + strings.Repeat("x", 900_000) + `"}`)
	records := []*kgo.Record{of("contact-created", 1, hostile, large), of("contact-created", 2, hostile, nil),
		of("contact-created", 3, hostile, []byte("\xff\xfe"+hostile))}
	for n := range 10_000 {
		records = append(records, of("machine-created", int64(n), fmt.Sprint("reason ", n), []byte(`{}`)))
	}
	require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), records...).FirstErr())
	for _, timeout := range []time.Duration{5, 10, 20, 40} { // of a viewer that goes before it is answered
		gone, leave := context.WithTimeout(t.Context(), timeout*time.Millisecond)
		r, err := http.NewRequestWithContext(gone, http.MethodGet, s.URL+"/console/dead-letters", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Accept", "application/json")
		if answer, err := http.DefaultClient.Do(r); err == nil {
			_ = answer.Body.Close()
		}
		leave()
	}
	began := time.Now()
	list := Call(t, "GET", s.URL+"/console/dead-letters", "", asJSON)
	assert.Contains(t, list.Body, `"total":10003`)
	assert.Less(t, len(list.Body), 100_000, "lists are bounded")
	t.Logf("10,003 dead letters: first %v", time.Since(began))
	one := Call(t, "GET", s.URL+"/console/dead-letters/contact-created/0/1", "", asJSON)
	assert.Less(t, len(one.Body), 200_000, "values are bounded")
	for _, id := range []string{"contact-created/0/9", "none/0/1", "contact-created/-1/1", "a%2Fb/0/1", "%00/0/1",
		"contact-created/0/99999999999999999999"} {
		status := Call(t, "GET", s.URL+"/console/dead-letters/"+id, "", asJSON).Status
		assert.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, status, id)
	}
	p := openTab(t)
	for _, path := range []string{"dead-letters?topic=contact-created", "dead-letters/contact-created/0/1",
		"dead-letters/contact-created/0/2", "dead-letters/contact-created/0/3", "dead-letters?key=" + url.QueryEscape(hostile)} {
		p.open(s.URL + "/console/" + path)
		p.shows("#view", "<script>")
		p.shows("#view", `\u202egnp.exe\u0000\u001b[2J`)
		assert.True(t, eval[bool](p, `!document.title.includes('owned') && !document.querySelector('#view script, #view img')`), path)
		p.fitsPhones("hostile")
	}
	p.open(s.URL + "/console/topics/contact-created.dead-letters")
	p.tabTo("#records")
	p.press(kb.Enter)
	p.shows("td small", `\u202egnp.exe\u0000\u001b[2J`)
	assert.True(t, eval[bool](p, `!document.title.includes('owned') && !document.querySelector('#view script, #view img')`))
	p.fitsPhones("hostile-topic")
	p.open(s.URL + "/console/dead-letters/contact-created/0/4711")
	p.shows("#status", "no consumer has rejected")
	for _, e := range p.takeErrors() {
		assert.Contains(t, e, "404")
	}
}
