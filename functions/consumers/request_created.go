package consumers

import (
	"context"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// OnRequestCreated handles request-created: the request can be queried, its first [store.MaxDrinks] drinks count as demand, and
// staff are notified.
type OnRequestCreated struct{ Consumers }

func (h OnRequestCreated) Project(ctx context.Context, e events.Event[events.RequestCreated]) error {
	labels := store.Labels{City: e.Data.City, Country: e.Data.Country, MachineID: e.Data.MachineID}
	drinks := e.Data.DrinksList[:min(len(e.Data.DrinksList), store.MaxDrinks)] // another program may have written more
	return project(ctx, h.Consumers, e, labels, drinks...)
}

func (h OnRequestCreated) React(ctx context.Context, e events.Event[events.RequestCreated]) error {
	return announce(ctx, h.Consumers, e, "request",
		"New request:", e.Data.Name, e.Data.City, e.Data.Country, strings.Join(e.Data.DrinksList, ", "))
}
