package events_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// The wire contract is pinned by the samples: each must be read and written without loss, and have every field.
func TestReleasedSamplesDecode(t *testing.T) {
	for _, d := range events.Catalogue() {
		sample, err := d.Sample()
		require.NoError(t, err)
		e, err := d.Decode(sample)
		require.NoError(t, err, "%s: a released sample must be understood forever", d.Topic)
		assert.Equal(t, d.Topic, e.Topic())
		b, err := e.Encode()
		require.NoError(t, err)
		assert.JSONEq(t, string(sample), string(b), "%s: a released field was renamed or removed", d.Topic)
		eachField(reflect.ValueOf(e), func(name string, value reflect.Value) {
			assert.False(t, value.IsZero() && name != "causationId", "the sample of %s has no %s", d.Topic, name)
		})
	}
}

func eachField(v reflect.Value, do func(name string, value reflect.Value)) {
	for field, value := range v.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if _, isTime := value.Interface().(events.Time); value.Kind() == reflect.Struct && !isTime {
			eachField(value, do)
		} else {
			do(name, value)
		}
	}
}

// What is optional is absent, what is required is there when empty, and a list is never null.
func TestEmptyFields(t *testing.T) {
	base := events.Base{ID: "t-1"}
	const tail = `,"metadata":{"producer":""}}`
	for want, e := range map[string]events.Any{
		`"data":{"id":"t-1","name":"","email":"","phone":"","message":""}`: raw(events.ContactCreated{Base: base}),
		`"data":{"id":"t-1","name":"","address":"","city":"","country":"","contactName":"","contactEmail":"","contactPhone":""}`: raw(
			events.MachineCreated{Base: base}),
		`"data":{"id":"t-1","name":"","email":"","phone":"","address":"","city":"","country":"","drinksList":[]}`: raw(
			events.RequestCreated{Base: base}),
		`"data":{"type":"","message":""}`: raw(events.Notification{}),
	} {
		b, err := e.Encode()
		require.NoError(t, err)
		assert.Equal(t, `{"eventId":"e-1","eventType":"`+e.Topic()+`",`+want+tail, string(b))
	}
}

func raw[T events.Payload](data T) events.Any {
	return events.Event[T]{ID: "e-1", Type: data.Topic(), Data: data}
}
