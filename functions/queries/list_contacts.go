package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// ListContacts answers GET /contacts.
func (q Queries) ListContacts(ctx context.Context, in Page) (List[events.ContactCreated], error) {
	return list[events.ContactCreated](ctx, q, in, store.Labels{})
}
