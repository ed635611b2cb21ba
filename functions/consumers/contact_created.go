package consumers

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// OnContactCreated handles contact-created: the contact can be queried, and staff are notified.
type OnContactCreated struct{ Consumers }

func (h OnContactCreated) Project(ctx context.Context, e events.Event[events.ContactCreated]) error {
	return project(ctx, h.Consumers, e, store.Labels{})
}

func (h OnContactCreated) React(ctx context.Context, e events.Event[events.ContactCreated]) error {
	return announce(ctx, h.Consumers, e, "contact", "New contact:", e.Data.Name, e.Data.CompanyName)
}
