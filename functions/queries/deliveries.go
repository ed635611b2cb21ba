package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// addDeliveries reads how far the deliveries of notifications are. A channel that has not been tried yet is absent.
func (q Queries) addDeliveries(ctx context.Context, notifications []Resource[events.Notification]) error {
	ids := make([]string, len(notifications))
	for i, n := range notifications {
		ids[i] = n.Data.ID
	}
	known, err := q.Claims.Deliveries(ctx, ids...)
	if err != nil {
		return err
	}
	for i, id := range ids {
		notifications[i].Deliveries = append([]store.Delivery{}, known[id]...) // not nil, which is not shown
	}
	return nil
}
