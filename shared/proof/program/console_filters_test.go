package program

import (
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The links of a list keep its filters and lead to what they count. A filter that is refused can be left.
func TestConsoleFilters(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	var letters []*kgo.Record
	for n := range int64(104) {
		consumer, at := Groups["contact-created"], time.Now().Add(-time.Hour)
		if n >= 101 {
			at = time.Now()
		}
		if n == 103 {
			consumer = "another"
		}
		letters = append(letters, letter(bus.DeadLetter{Consumer: consumer, Class: bus.Undecodable, Reason: "bad", Attempts: 1, At: at,
			Record: bus.Record{Topic: "contact-created", Offset: n, Value: []byte("{}")}}))
	}
	require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), letters...).FirstErr())
	p := openTab(t)
	p.open(s.URL + "/console/now")
	p.shows("td a", "103")
	p.tabTo("td a")
	p.press(kb.Enter)
	p.shows("caption", "103 events")
	p.open(s.URL + "/console/dead-letters?since=" + time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
	p.shows("caption", "3 events")
	p.tabTo("td.num a") // the larger group
	p.press(kb.Enter)
	p.shows("caption", "2 events")
	p.open(s.URL + "/console/dead-letters?from=100")
	p.shows("caption", "101 to 104")
	p.tabTo("a[href*='from=50']")
	p.press(kb.Enter)
	p.shows("caption", "51 to 100")
	p.tabTo("input[name=id]")
	p.press(" contact-created/0/5 ", kb.Enter) // pasted, with the space around it
	p.shows("caption", "1 event")
	p.open(s.URL + "/console/dead-letters?class=none")
	p.shows("#none", "No dead letter")
	assert.Equal(t, "none", eval[string](p, `document.querySelector('select[name=class]').value`))
	p.open(s.URL + "/console/contacts?since=24h")
	p.shows("#status", "must be a time")
	assert.NotContains(t, eval[string](p, `document.querySelector('#status').innerText`), "again")
	p.tabTo("#view a")
	p.press(kb.Enter)
	p.shows("caption", "Contacts")
	assert.Empty(t, eval[string](p, `location.search`))
	for _, e := range p.takeErrors() { // the browser reports refused requests
		assert.Contains(t, e, "400")
	}
}

// A page asks once at a time, says when its server hangs, and stays where its reader scrolled to.
func TestConsolePolls(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	require.NoError(t, client(t, s.Kafka).ProduceSync(Within(t), letter(bus.DeadLetter{Consumer: Groups["contact-created"],
		Class: bus.Undecodable, Reason: "bad", Attempts: 1, At: time.Now(), Record: bus.Record{Topic: "contact-created"}})).FirstErr())
	const count = `(window.calls = 0, window.real = fetch, window.fetch = (...a) => (window.calls++, real(...a)), 0)`
	p := openTab(t)
	p.open(s.URL + "/console/topics/contact-created")
	p.shows("#records", "Follow")
	eval[int](p, count)
	eval[int](p, `([1, 2, 3, 4, 5].forEach(() => document.querySelector('#records').click()), 0)`) // it follows for the third time
	p.holds(`calls === 3`)
	p.holds(`calls >= 5`)
	assert.Equal(t, 5, eval[int](p, `calls`), "a call at a time")

	p.open(s.URL + "/console/live")
	p.shows("#status", "Listening")
	eval[int](p, count)
	eval[int](p, `(real = () => Promise.reject(new TypeError()), 0)`)
	p.tabTo("#pause")
	p.press(kb.Enter, kb.Enter)
	p.shows("#status", "does not answer")
	p.press(kb.Enter, kb.Enter)
	p.holds(`calls >= 5`)
	assert.Equal(t, 5, eval[int](p, `calls`), "two by hand, then one every 3 s")

	p.do(chromedp.EmulateViewport(360, 400))
	p.open(s.URL + "/console/now")
	p.tabTo("td a")
	eval[int](p, `(scrollTo(0, document.body.scrollHeight), window.shown = document.querySelector('td'), 0)`)
	assert.Equal(t, "–", eval[string](p, `number(lately([{at: '2026-11-28T14:00:00Z', written: 0, handled: 0},
		{at: '2026-11-28T15:00:00Z', written: 7200, handled: 7200}]).written)`), "an hour without a page is not now")
	assert.InDelta(t, 5, eval[float64](p, `lately([{at: '2026-11-28T14:00:00Z', written: 0, handled: 0},
		{at: '2026-11-28T15:00:00Z', written: 10, handled: 10}, {at: '2026-11-28T15:00:10Z', written: 60, handled: 60}]).written`), 0)
	place := eval[float64](p, `scrollY`)
	p.holds(`!shown.isConnected && document.activeElement.matches('td a')`)
	assert.InDelta(t, place, eval[float64](p, `scrollY`), 50)
	eval[int](p, `(window.timeout = AbortSignal.timeout, AbortSignal.timeout = () => timeout.call(AbortSignal, 1000), 0)`)
	s.Signal(syscall.SIGSTOP)
	p.shows("#status", "does not answer")
	s.Signal(syscall.SIGCONT)
	p.holds(`document.querySelector('#status').innerText === ''`)
}

// letter is the record of a dead letter.
func letter(l bus.DeadLetter) *kgo.Record {
	encoded := l.Encode()
	r := &kgo.Record{Topic: encoded.Topic, Key: encoded.Key, Value: encoded.Value}
	for _, h := range encoded.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}
