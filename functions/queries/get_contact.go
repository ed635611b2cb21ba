package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
)

// GetContact answers GET /contacts/{id}.
func (q Queries) GetContact(ctx context.Context, in ByID) (Resource[events.ContactCreated], error) {
	return get[events.ContactCreated](ctx, q, in.ID)
}
