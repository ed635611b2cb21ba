package events_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// TestWireNames pins the wire contract: other programs depend on it, and a name in it never changes.
func TestWireNames(t *testing.T) {
	thing := events.Base{ID: "t-1"}
	for _, c := range []struct {
		topic      string
		full, bare events.Any
		all, must  []string // the fields of data with everything filled, and with nothing but the id
	}{
		{
			"contact-created",
			made(t, events.ContactCreated{Contact: contact()}), raw(events.ContactCreated{Base: thing}),
			[]string{"id", "name", "email", "phone", "message", "companyName", "machineLocation", "timestamp"},
			[]string{"id", "name", "email", "phone", "message"},
		},
		{
			"machine-created",
			made(t, events.MachineCreated{Machine: machine()}), raw(events.MachineCreated{Base: thing}),
			[]string{"id", "name", "address", "city", "country", "contactName", "contactEmail", "contactPhone", "timestamp"},
			[]string{"id", "name", "address", "city", "country", "contactName", "contactEmail", "contactPhone"},
		},
		{
			"request-created",
			made(t, events.RequestCreated{Request: request()}), raw(events.RequestCreated{Base: thing}),
			[]string{"id", "name", "email", "phone", "address", "city", "country", "drinksList", "machineId", "timestamp"},
			[]string{"id", "name", "email", "phone", "address", "city", "country", "drinksList"},
		},
		{
			"notification",
			made(t, events.Notification{Notice: notice()}), raw(events.Notification{}),
			[]string{"id", "type", "message", "recipientEmail", "subjectId", "timestamp"},
			[]string{"type", "message"},
		},
	} {
		t.Run(c.topic, func(t *testing.T) {
			envelope, data, metadata := parts(t, c.full)
			assert.ElementsMatch(t, []string{"eventId", "eventType", "data", "metadata"}, names(envelope))
			assert.ElementsMatch(t, c.all, names(data))
			assert.ElementsMatch(t, []string{"timestamp", "producer", "correlationId", "causationId"}, names(metadata))
			assert.Equal(t, c.topic, envelope["eventType"])
			assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, data["timestamp"])
			assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, metadata["timestamp"])

			_, data, metadata = parts(t, c.bare)
			assert.ElementsMatch(t, c.must, names(data), "what is optional is absent, what is required is there when empty")
			assert.ElementsMatch(t, []string{"producer"}, names(metadata))
		})
	}
	_, data, _ := parts(t, raw(events.RequestCreated{Base: thing}))
	assert.Equal(t, []any{}, data["drinksList"], "a list is never null")
}

// TestSamplesHaveEveryField: so that no field can be renamed unnoticed.
func TestSamplesHaveEveryField(t *testing.T) {
	for topic, full := range map[string]events.Any{
		"contact-created": made(t, events.ContactCreated{Contact: contact()}), "machine-created": made(t,
			events.MachineCreated{Machine: machine()}),
		"request-created": made(t, events.RequestCreated{Request: request()}), "notification": made(t,
			events.Notification{Notice: notice()}),
	} {
		d, ok := events.Lookup(topic)
		require.True(t, ok)
		sample, err := d.Sample()
		require.NoError(t, err)
		e, err := d.Decode(sample)
		require.NoError(t, err)
		_, want, _ := parts(t, full)
		_, got, _ := parts(t, e)
		assert.ElementsMatch(t, names(want), names(got), topic)
	}
}

// made is an event with every field of the envelope.
func made[T events.Payload](t *testing.T, data T) events.Any {
	t.Helper()
	cause, err := events.New(events.MachineCreated{Machine: machine()})
	require.NoError(t, err)
	e, err := events.New(data, events.CausedBy(cause, "a test"))
	require.NoError(t, err)
	return e
}

func raw[T events.Payload](data T) events.Any {
	return events.Event[T]{ID: "e-1", Type: data.Topic(), Data: data}
}

func parts(t *testing.T, e events.Any) (envelope, data, metadata map[string]any) {
	t.Helper()
	b, err := e.Encode()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &envelope))
	data, _ = envelope["data"].(map[string]any)
	metadata, _ = envelope["metadata"].(map[string]any)
	return envelope, data, metadata
}

func names(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }
