package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Requests are the parameters of GET /requests.
type Requests struct {
	Page
	City      string `query:"city" doc:"Only of this city. Case and outer white space are ignored."`
	Country   string `query:"country" doc:"Only of this country. Case and outer white space are ignored."`
	MachineID string `query:"machineId" doc:"Only those made at this machine. Case and outer white space are ignored."`
}

// ListRequests answers GET /requests.
func (q Queries) ListRequests(ctx context.Context, in Requests) (List[events.RequestCreated], error) {
	match := store.Labels{City: in.City, Country: in.Country, MachineID: in.MachineID}
	return list[events.RequestCreated](ctx, q, in.Page, match)
}
