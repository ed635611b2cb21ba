package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Notifications are the parameters of GET /notifications.
type Notifications struct {
	Page
	Type string `query:"type" oneof:"contact machine request" doc:"Only those about a subject of this type."`
}

// ListNotifications answers GET /notifications.
func (q Queries) ListNotifications(ctx context.Context, in Notifications) (List[events.Notification], error) {
	found, err := list[events.Notification](ctx, q, in.Page, store.Labels{Type: in.Type})
	if err != nil {
		return found, err
	}
	return found, q.addDeliveries(ctx, found.Items)
}
