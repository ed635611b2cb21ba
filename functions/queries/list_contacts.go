package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Contacts are the parameters of GET /contacts.
type Contacts struct {
	Page
}

// ListContacts answers GET /contacts.
func (q Queries) ListContacts(ctx context.Context, in Contacts) (List[events.ContactCreated], error) {
	return list[events.ContactCreated](ctx, q, in.Page, store.Labels{})
}
