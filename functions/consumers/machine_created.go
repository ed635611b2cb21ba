package consumers

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// OnMachineCreated handles machine-created: the machine can be queried, and staff are notified.
type OnMachineCreated struct{ Consumers }

func (h OnMachineCreated) Project(ctx context.Context, e events.Event[events.MachineCreated]) error {
	return project(ctx, h.Consumers, e, store.Labels{City: e.Data.City, Country: e.Data.Country})
}

func (h OnMachineCreated) React(ctx context.Context, e events.Event[events.MachineCreated]) error {
	return announce(ctx, h.Consumers, e, "machine", "New machine:", e.Data.Name, e.Data.City, e.Data.Country)
}
