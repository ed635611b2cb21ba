package events_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

func TestDecodeTypeScriptEvents(t *testing.T) {
	paths, err := filepath.Glob("testdata/typescript/*.json")
	require.NoError(t, err)
	require.Len(t, paths, 4)
	for _, path := range paths {
		topic := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(topic, func(t *testing.T) {
			record, err := os.ReadFile(path)
			require.NoError(t, err)
			d, ok := events.Lookup(topic)
			require.True(t, ok)
			e, err := d.Decode(record)
			require.NoError(t, err)
			assert.Regexp(t, `^\d{13}-[a-z0-9]{9}$`, e.EventID())
			assert.NotEmpty(t, e.ResourceID())

			b, err := e.Encode()
			require.NoError(t, err)
			var before, after map[string]any
			require.NoError(t, json.Unmarshal(record, &before))
			require.NoError(t, json.Unmarshal(b, &after))
			assert.Equal(t, before, after)
		})
	}

	record, err := os.ReadFile("testdata/typescript/notification.json")
	require.NoError(t, err)
	e, err := events.Decode[events.Notification](record)
	require.NoError(t, err)
	assert.Empty(t, e.Data.ID)
	assert.Equal(t, e.ID, e.ResourceID(), "a notification without id is kept under its event's")
	assert.Empty(t, e.Data.Key(), "and has no subject")
	assert.Equal(t, e.ID, e.Correlation())
	assert.Equal(t, "sipeat-app", e.Metadata.Producer)
}

func TestDecodeTolerates(t *testing.T) {
	const head = `{"eventId":"1","eventType":"request-created",`
	for what, value := range map[string]string{
		"bare":             head + `"data":{"id":"r"}}`,
		"null metadata":    head + `"data":{"id":"r"},"metadata":null}`,
		"empty metadata":   head + `"data":{"id":"r"},"metadata":{}}`,
		"null in metadata": head + `"data":{"id":"r"},"metadata":{"timestamp":null,"producer":null,"correlationId":null}}`,
		"null fields":      head + `"data":{"id":"r","name":null,"drinksList":null,"machineId":null,"timestamp":null}}`,
		"unknown fields":   `{"eventId":"1","v":2,"eventType":"request-created","data":{"id":"r","x":{"y":[1,2,{}]},"Name":7}}`,
		"no drinks":        head + `"data":{"id":"r","drinksList":[]}}`,
		"blank drinks":     head + `"data":{"id":"r","drinksList":["",null]}}`,
		"ids of any form":  `{"eventId":" \u0000","eventType":"request-created","data":{"id":"a b/ü"}}`,
		"lone surrogate":   head + `"data":{"id":"r","name":"\ud83e"}}`,
		"no UTF-8":         head + "\"data\":{\"id\":\"r\",\"name\":\"\xff\"}}",
		"a name twice":     `{"eventId":"0","eventId":"1","eventType":"request-created","data":{"id":"q","id":"r"}}`,
		"space around":     " \r\n" + head + "\"data\":{\"id\":\"r\"}}\n",
		"another offset":   head + `"data":{"id":"r","timestamp":"2026-11-23T12:00:00.123456789+05:30"}}`,
		"what API refuses": head + `"data":{"id":"r","email":"?","phone":"-","name":"\u0000","drinksList":["` +
			strings.Repeat(`x","`, 50) + `"]}}`,
		"first second":       head + `"data":{"id":"r","timestamp":"0001-01-01T00:00:00Z"}}`,
		"byte order mark":    "\ufeff" + head + `"data":{"id":"r"}}`,
		"text as metadata":   head + `"data":{"id":"r"},"metadata":"secret"}`,
		"no order of fields": `{"metadata":{},"data":{"id":"r"},"eventType":"request-created","eventId":"1"}`,
	} {
		e, err := events.Decode[events.RequestCreated]([]byte(value))
		if assert.NoError(t, err, what) {
			b, err := e.Encode()
			require.NoError(t, err, what)
			again, err := events.Decode[events.RequestCreated](b)
			require.NoError(t, err, what)
			assert.Equal(t, e.EventID(), again.EventID(), what)
		}
	}
}

// Metadata is optional, so a wrong type in it rejects no event.
func TestDecodeMetadataOfOtherTypes(t *testing.T) {
	e, err := events.Decode[events.ContactCreated]([]byte(`{"eventId":"1","eventType":"contact-created","data":{"id":"c"},
		"metadata":{"correlationId":17194,"causationId":{"a":[1]},"producer":["x"],"more":true,"timestamp":"2026-11-23T06:54:21Z"}}`))
	require.NoError(t, err)
	assert.Equal(t, "1", e.Correlation())
	assert.Empty(t, e.Metadata.CausationID)
	assert.Empty(t, e.Metadata.Producer)
	assert.Equal(t, "2026-11-23T06:54:21.000Z", e.Metadata.Timestamp.String())
}

// TestDecodeRefuses is the complete list of rejected records; "secret" is in the place of payload.
func TestDecodeRefuses(t *testing.T) {
	const head = `{"eventId":"secret","eventType":"contact-created",`
	for _, c := range []struct{ what, value, says string }{
		{"tombstone", ``, "the record has no value"},
		{"blank", " \n", "the record has no value"},
		{"text", `secret`, "not the JSON of a contact-created event: the syntax is wrong at byte 0"},
		{"cut", head + `"data":{"id":"secr`, "the syntax is wrong at byte "},
		{"two documents", head + `"data":{"id":"c"}} {"secret":1}`, "the syntax is wrong at byte "},
		{"faulty inside a name", head + `"data":{"id":"c","secret":01}}`, "the syntax is wrong at byte "},
		{"bad escape", head + `"data":{"id":"\xsecret"}}`, "the syntax is wrong at byte "},
		{"no object", `["secret"]`, "the whole value must be an object"},
		{"only text", `"secret"`, "the whole value must be an object"},
		{"only null", `null`, "no eventId"},
		{"no eventId", `{"eventType":"contact-created","data":{"id":"c"}}`, "no eventId"},
		{"empty eventId", `{"eventId":"","eventType":"contact-created","data":{"id":"c"}}`, "no eventId"},
		{"null eventId", `{"eventId":null,"eventType":"contact-created","data":{"id":"c"}}`, "no eventId"},
		{"number eventId", `{"eventId":1719400000000,"eventType":"contact-created","data":{"id":"c"}}`,
			"eventId must be a string"},
		{"names in another case", `{"EventID":"secret","eventType":"contact-created","data":{"id":"c"}}`, "no eventId"},
		{"no eventType", `{"eventId":"1","data":{"id":"c"}}`, "the eventType is not the topic's, which is contact-created"},
		{"other eventType", `{"eventId":"1","eventType":"secret","data":{"id":"c"}}`,
			"the eventType is not the topic's, which is contact-created"},
		{"no data", head + `"metadata":{}}`, "no data object"},
		{"null data", head + `"data":null}`, "no data object"},
		{"list data", head + `"data":["secret"]}`, "data must be an object"},
		{"text data", head + `"data":"secret"}`, "data must be an object"},
		{"no data.id", head + `"data":{"name":"secret"}}`, "no data.id"},
		{"empty data.id", head + `"data":{"id":""}}`, "no data.id"},
		{"number in text", head + `"data":{"id":"c","phone":4930555}}`, "data.phone must be a string"},
		{"object in text", head + `"data":{"id":"c","name":{"secret":1}}}`, "data.name must be a string"},
		{"true in text", head + `"data":{"id":"c","name":true}}`, "data.name must be a string"},
		{"no moment", head + `"data":{"id":"c","timestamp":"secret"}}`, "data.timestamp is not an RFC 3339 timestamp, such as "},
		{"empty moment", head + `"data":{"id":"c","timestamp":""}}`, "data.timestamp is not an RFC 3339 timestamp"},
		{"moment of no zone", head + `"data":{"id":"c","timestamp":"2026-11-23T12:00:00"}}`,
			"data.timestamp is not an RFC 3339 timestamp"},
		{"number moment", head + `"data":{"id":"c"},"metadata":{"timestamp":1719400000000}}`,
			"metadata.timestamp must be a string"},
		{"year 10000", head + `"data":{"id":"c","timestamp":"9999-12-31T23:59:59-01:00"}}`,
			"data.timestamp is not an RFC 3339 timestamp"},
		{"year -1", head + `"data":{"id":"c","timestamp":"0000-01-01T00:00:00+01:00"}}`, "data.timestamp is not an RFC 3339 timestamp"},
		{"deep", strings.Repeat("[", 100_000), "not the JSON"},
	} {
		refusedAs[events.ContactCreated](t, c.what, c.says, c.value)
	}
	for value, says := range map[string]string{
		`{"type":"secret"}`:  "data.type is none of contact, machine and request",
		`{}`:                 "data.type is none of contact, machine and request",
		`{"type":"Contact"}`: "data.type is none of",
	} {
		refusedAs[events.Notification](t, value, says, `{"eventId":"1","eventType":"notification","data":`+value+`}`)
	}
	refusedAs[events.RequestCreated](t, "drink", "data.drinksList.1 must be a string",
		`{"eventId":"1","eventType":"request-created","data":{"id":"r","drinksList":["secret",7]}}`)
}

func refusedAs[T events.Payload](t *testing.T, what, says, value string) {
	t.Helper()
	e, err := events.Decode[T]([]byte(value))
	if !assert.Error(t, err, what) {
		return
	}
	assert.ErrorIs(t, err, events.ErrNotUnderstood, what)
	assert.Equal(t, events.Invalid, events.KindOf(err), what)
	assert.Contains(t, err.Error(), says, what)
	assert.NotContains(t, err.Error(), "secret", "%s: the event's content", what)
	assert.Zero(t, e, what)
}

// Only id and fields count, without the timestamp.
func TestDigest(t *testing.T) {
	digest := func(change func(*events.Event[events.RequestCreated])) [32]byte {
		var e events.Event[events.RequestCreated]
		e.ID, e.Data = "e", events.RequestCreated{Base: events.Base{ID: "r", Timestamp: events.At(noon)}, Request: request()}
		change(&e)
		return e.Digest()
	}
	same := digest(func(*events.Event[events.RequestCreated]) {})
	assert.Equal(t, same, digest(func(e *events.Event[events.RequestCreated]) {
		e.ID, e.Metadata.Producer, e.Data.Timestamp = "f", "other", events.At(noon.AddDate(0, 0, 1))
	}))
	assert.NotEqual(t, same, digest(func(e *events.Event[events.RequestCreated]) { e.Data.ID = "s" }))
	assert.NotEqual(t, same, digest(func(e *events.Event[events.RequestCreated]) { e.Data.DrinksList = []string{"Tea"} }))
}
