package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
)

// GetNotification answers GET /notifications/{id}: the notification and its delivery state by channel.
func (q Queries) GetNotification(ctx context.Context, in ByID) (Resource[events.Notification], error) {
	found, err := get[events.Notification](ctx, q, in.ID)
	if err != nil {
		return found, err
	}
	one := []Resource[events.Notification]{found}
	err = q.addDeliveries(ctx, one)
	return one[0], err
}
