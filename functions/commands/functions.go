// Package commands is the writing side: each function validates a request, publishes it as an event and answers with its
// position. It uses Kafka only as a [bus.Publisher], and no database.
package commands

import (
	"context"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// Commands are the dependencies of the functions.
type Commands struct {
	Events    events.Factory
	Publisher bus.Publisher
}

// Functions lists the endpoints.
func (c Commands) Functions() []web.Function {
	return []web.Function{
		{Name: "create-contact", Route: "POST /contacts",
			Summary: "A visitor leaves contact details.", Handler: web.HandleCommand(c.CreateContact)},
		{Name: "create-machine", Route: "POST /machines",
			Summary: "An operator registers a vending machine.", Handler: web.HandleCommand(c.CreateMachine)},
		{Name: "create-request", Route: "POST /requests",
			Summary: "A customer requests drinks.", Handler: web.HandleCommand(c.CreateRequest)},
		{Name: "create-notification", Route: "POST /notifications",
			Summary: "Staff have a notification delivered.", Handler: web.HandleCommand(c.CreateNotification), Staff: true},
	}
}

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
