package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
)

// GetRequest answers GET /requests/{id}.
func (q Queries) GetRequest(ctx context.Context, in ByID) (Resource[events.RequestCreated], error) {
	return get[events.RequestCreated](ctx, q, in.ID)
}
