package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Machines are the parameters of GET /machines.
type Machines struct {
	Page
	City    string `query:"city" doc:"Only of this city. Case and outer white space are ignored."`
	Country string `query:"country" doc:"Only of this country. Case and outer white space are ignored."`
}

// ListMachines answers GET /machines.
func (q Queries) ListMachines(ctx context.Context, in Machines) (List[events.MachineCreated], error) {
	return list[events.MachineCreated](ctx, q, in.Page, store.Labels{City: in.City, Country: in.Country})
}
