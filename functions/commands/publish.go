package commands

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// publish makes an event of data and returns once it is written. The same seed makes the same event.
func publish[T events.Payload](ctx context.Context, c Commands, data T, seed string) (web.Accepted, error) {
	event, err := events.Make(c.Events, data, events.DerivedFrom(seed))
	if err != nil {
		return web.Accepted{}, err
	}
	at, err := c.Publisher.Publish(ctx, event)
	if err != nil {
		return web.Accepted{}, err
	}
	return web.Accepted{
		ID: event.ResourceID(), EventID: event.ID, Topic: at.Topic, Partition: at.Partition, Offset: at.Offset,
	}, nil
}
