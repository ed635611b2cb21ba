package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
)

// GetMachine answers GET /machines/{id}.
func (q Queries) GetMachine(ctx context.Context, in ByID) (Resource[events.MachineCreated], error) {
	return get[events.MachineCreated](ctx, q, in.ID)
}
