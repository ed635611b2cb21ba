package commands_test

import (
	"context"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorder is a publisher that records events.
type recorder struct {
	published []events.Any
	err       error
}

func (r *recorder) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	if r.err != nil {
		return bus.Position{}, r.err
	}
	r.published = append(r.published, e)
	return bus.Position{Topic: e.Topic(), Partition: 3, Offset: int64(len(r.published) + 40)}, nil
}

var now = time.Date(2026, 11, 23, 6, 54, 21, 123e6, time.UTC)

// holds checks what every command guarantees. want is the event's payload without id and time.
func holds[In any, T events.Payload](t *testing.T, create func(commands.Commands) func(context.Context,
	web.Command[In]) (web.Accepted, error), body In, want func(T) any) {
	t.Helper()
	publisher := &recorder{}
	handler := create(commands.Commands{Publisher: publisher, Events: events.Factory{Now: func() time.Time { return now }}})

	first, err := handler(t.Context(), web.Command[In]{Body: body})
	require.NoError(t, err)
	event := publisher.published[0].(events.Event[T])
	assert.Equal(t, any(body), want(event.Data), "the request is published unchanged")
	assert.Equal(t, web.Accepted{ID: event.Data.ResourceID(), EventID: event.ID, Topic: event.Topic(), Partition: 3, Offset: 41},
		first)
	assert.Equal(t, events.At(now), event.Data.HappenedAt())

	second, err := handler(t.Context(), web.Command[In]{Body: body})
	require.NoError(t, err)
	assert.NotEqual(t, first.ID, second.ID, "without a key a repeat is a new event")

	once, err := handler(t.Context(), web.Command[In]{Body: body, Seed: "seed"})
	require.NoError(t, err)
	again, err := handler(t.Context(), web.Command[In]{Body: body, Seed: "seed"})
	require.NoError(t, err)
	assert.Equal(t, [2]string{once.ID, once.EventID}, [2]string{again.ID, again.EventID}, "the same seed is the same event")

	published := len(publisher.published)
	var empty In
	_, err = handler(t.Context(), web.Command[In]{Body: empty})
	assert.Equal(t, events.Invalid, events.KindOf(err))
	assert.Len(t, publisher.published, published, "an invalid request changes nothing")

	publisher.err = events.Errorf(events.Unavailable, "no broker")
	_, err = handler(t.Context(), web.Command[In]{Body: body})
	assert.Equal(t, events.Unavailable, events.KindOf(err), "without a broker there is no 202")
}

// faults returns the pointers in a command's error.
func faults[In any](t *testing.T, handler func(context.Context, web.Command[In]) (web.Accepted, error), body In) []string {
	t.Helper()
	_, err := handler(t.Context(), web.Command[In]{Body: body})
	var invalid *events.Error
	require.ErrorAs(t, err, &invalid)
	var pointers []string
	for _, f := range invalid.Fields {
		pointers = append(pointers, f.Pointer)
	}
	return pointers
}
