package consumers_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

func TestEachEventIsAnnouncedOnce(t *testing.T) {
	contact := events.ContactCreated{Base: base("c-1"), Contact: events.Contact{Name: "Ada", CompanyName: "Engines Ltd"}}
	machine := events.MachineCreated{Base: base("m-1"), Machine: events.Machine{Name: "Lobby", City: "Berlin", Country: "Germany"}}
	request := events.RequestCreated{Base: base("r-1"), Request: events.Request{Name: "Grace", City: "New York",
		DrinksList: []string{"Mate", "Tea"}}}
	for subject, c := range map[string]struct {
		react func(*world) error
		id    string
		text  string
	}{
		"contact": {func(w *world) error {
			return consumers.OnContactCreated{Consumers: w.Consumers}.React(t.Context(), read("a", contact))
		}, "c-1", "New contact: Ada Engines Ltd"},
		"machine": {func(w *world) error {
			return consumers.OnMachineCreated{Consumers: w.Consumers}.React(t.Context(), read("a", machine))
		}, "m-1", "New machine: Lobby Berlin Germany"},
		"request": {func(w *world) error {
			return consumers.OnRequestCreated{Consumers: w.Consumers}.React(t.Context(), read("a", request))
		}, "r-1", "New request: Grace New York Mate, Tea"},
	} {
		t.Run(subject, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, c.react(w))
			require.NoError(t, c.react(w), "a repeat")
			require.Len(t, w.topic.published, 2)
			n := w.topic.published[0]
			assert.Equal(t, n, w.topic.published[1], "a repeat makes the same event")

			assert.Equal(t, uuid.Version(5), uuid.MustParse(n.ID).Version())
			assert.Equal(t, uuid.Version(5), uuid.MustParse(n.Data.ID).Version())
			assert.Equal(t, subject, n.Data.Type)
			assert.Equal(t, c.text, n.Data.Message)
			assert.Equal(t, c.id, n.Data.SubjectID)
			assert.Equal(t, c.id, w.topic.keys[0], "in order with the other notifications of its subject")
			assert.Equal(t, "e-1", n.Metadata.CausationID)
			assert.Equal(t, "e-1", n.Metadata.CorrelationID)
			assert.Equal(t, "sipeat-api", n.Metadata.Producer)
			assert.Equal(t, contact.Timestamp, n.Data.Timestamp, "it happened when its cause did")
		})
	}
}

func TestAnnouncedByProducer(t *testing.T) {
	w := newWorld(t)
	contact := events.ContactCreated{Base: base("c-1")}
	require.NoError(t, consumers.OnContactCreated{Consumers: w.Consumers}.React(t.Context(), read("sipeat-app", contact)))
	assert.Empty(t, w.topic.published)
	require.NoError(t, consumers.OnContactCreated{Consumers: w.Consumers}.React(t.Context(), read("", contact)))
	assert.Len(t, w.topic.published, 1, "an unknown producer announces nothing")
}

// A statement that is repeated as another event, even by another producer, is announced by the same notification event.
func TestARepeatedStatementIsAnnouncedOnce(t *testing.T) {
	w := newWorld(t)
	for _, eventID := range []string{"e-1", "e-2"} {
		e := read("a", events.ContactCreated{Base: base("c-1"), Contact: events.Contact{Name: "Ada"}})
		e.ID = eventID
		e.Data.Timestamp = events.At(noon.Add(time.Duration(len(w.topic.published)) * time.Minute))
		on := consumers.OnContactCreated{Consumers: w.Consumers}
		require.NoError(t, on.Project(t.Context(), e))
		require.NoError(t, on.React(t.Context(), e))
		n := w.topic.published[len(w.topic.published)-1]
		record, err := n.Encode()
		require.NoError(t, err)
		assert.Equal(t, bus.Done, w.deliver(t, "notification", record).Outcome)
	}
	require.Len(t, w.topic.published, 2)
	assert.Equal(t, w.topic.published[0].ID, w.topic.published[1].ID)
	assert.Len(t, w.notifier.messages, 1)

	another := read("a", events.ContactCreated{Base: base("c-2"), Contact: events.Contact{Name: "Ada"}})
	require.NoError(t, consumers.OnContactCreated{Consumers: w.Consumers}.React(t.Context(), another))
	assert.NotEqual(t, w.topic.published[0].ID, w.topic.published[2].ID)
}

// Its notification may have been delivered and the claim be gone: the offsets of the group were reset.
func TestAnEventOlderThanClaimsIsNotAnnounced(t *testing.T) {
	for _, c := range []struct {
		age       time.Duration
		published int
	}{{store.ClaimsKept, 1}, {store.ClaimsKept + time.Second, 0}} {
		w := newWorld(t)
		e := read("a", events.ContactCreated{Base: base("c-1"), Contact: events.Contact{Name: "Ada"}})
		e.Metadata.Timestamp = events.At(noon.Add(-c.age))
		require.NoError(t, consumers.OnContactCreated{Consumers: w.Consumers}.React(t.Context(), e))
		assert.Len(t, w.topic.published, c.published, c.age)
	}
}

func TestAFailedPublishIsRetried(t *testing.T) {
	w := newWorld(t)
	w.topic.err = &events.Error{Kind: events.Unavailable, Message: "no broker", EventID: "n-1"}
	report := w.deliver(t, "contact-created", []byte(`{"eventId":"1","eventType":"contact-created","data":{"id":"c"}}`))
	assert.Equal(t, bus.Unavailable, report.Outcome)
	assert.Empty(t, w.deadLetters)
}

// An accepted event is never rejected because of the notification about it.
func TestOddTextAndIDsAreNoDeadLetters(t *testing.T) {
	nasty := map[string]string{
		"empty": "", "blank": "\u00a0 \u200b", "NUL": "a\x00b", "controls": "\x01\x1b[31m\u0085\u009b\u2028\u202e\u2066",
		"line breaks":     "a\r\nb\tc",
		"5000 characters": strings.Repeat("ü", 5000), "emoji": strings.Repeat("👨‍👩‍👧", 400), "no UTF-8": "a\xff\xfe",
		"marks":  "\u0301\u0301",
		"filler": "\u3164", "replacement": "\uFFFD", "noncharacter": "\uFFFE\U0010FFFF", "private": "\ue000", "quotes": `"\/<>&`,
	}
	ids := map[string]string{
		"a space": "a b", "blanks": "  ", "500 characters": strings.Repeat("i", 500), "129 characters": strings.Repeat("i", 129),
		"NUL":      "\x00",
		"no UTF-8": "\xff", "slash": "a/../b", "hidden": "a\u200bb", "line break": "a\nb",
	}
	quote := func(s string) string {
		if !utf8.ValidString(s) {
			return `"` + s + `"` // as it is
		}
		b, err := json.Marshal(s)
		require.NoError(t, err)
		return string(b)
	}
	deliver := func(t *testing.T, w *world, topic, id, text string) {
		w.topic.published, w.notifier.messages = nil, nil
		i, q := quote(id), quote(text)
		record := `{"eventId":` + i + `,"eventType":"` + topic + `","data":{"id":` + i + `,"type":"contact"`
		for _, f := range []string{"name", "email", "phone", "message", "companyName", "machineLocation", "address", "city", "country",
			"contactName", "contactEmail", "contactPhone", "machineId", "recipientEmail", "subjectId"} {
			record += `,"` + f + `":` + q
		}
		record += `,"drinksList":[` + q + `,` + q + `]},"metadata":{"producer":` + q + `,"correlationId":` + q + `}}`

		report := w.deliver(t, topic, []byte(record))
		assert.Equal(t, bus.Done, report.Outcome, "%s: %v", topic, report.Err)
		assert.Empty(t, w.deadLetters)
		if topic == "notification" {
			assert.Len(t, w.notifier.messages, 1)
		} else if assert.Len(t, w.topic.published, 1) {
			assert.Empty(t, events.Validate(w.topic.published[0].Data))
		}
	}
	for _, topic := range []string{"contact-created", "machine-created", "request-created", "notification"} {
		w := newWorld(t)
		for what, text := range nasty {
			t.Run(topic+"/text/"+what, func(t *testing.T) { deliver(t, w, topic, "id-"+what, text) })
		}
		for what, id := range ids {
			t.Run(topic+"/id/"+what, func(t *testing.T) { deliver(t, w, topic, id, "text") })
		}
	}
}
