package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Machines are the parameters of GET /machines.
type Machines struct {
	Page
	City    string `query:"city"`
	Country string `query:"country"`
}

// ListMachines answers GET /machines.
func (q Queries) ListMachines(ctx context.Context, in Machines) (List[events.MachineCreated], error) {
	return list[events.MachineCreated](ctx, q, in.Page, store.Labels{City: in.City, Country: in.Country})
}
