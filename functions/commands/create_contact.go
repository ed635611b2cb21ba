package commands

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// CreateContact answers POST /contacts: a visitor leaves contact details.
func (c Commands) CreateContact(ctx context.Context, command web.Command[events.Contact]) (web.Accepted, error) {
	return publish(ctx, c, events.ContactCreated{Contact: command.Body}, command.Seed)
}
