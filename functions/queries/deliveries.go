package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Delivery is how far the delivery of a notification by one channel is.
type Delivery struct {
	Channel string              `json:"channel" jsonschema:"log, smtp, ses or discord"`
	State   store.DeliveryState `json:"state" jsonschema:"pending, delivered or failed"`
	At      events.Time         `json:"at,omitzero" jsonschema:"when it was delivered or failed"`
	Class   string              `json:"class,omitempty" jsonschema:"why it failed: the class of the dead letter"`
}

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
		deliveries := []Delivery{}
		for _, d := range known[id] {
			deliveries = append(deliveries, Delivery{d.Channel, d.State, events.At(d.At), d.Class})
		}
		notifications[i].Deliveries = deliveries
	}
	return nil
}
