package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
)

// GetNotification answers GET /notifications/{id}.
func (q Queries) GetNotification(ctx context.Context, in ByID) (Resource[events.Notification], error) {
	return get[events.Notification](ctx, q, in.ID)
}
