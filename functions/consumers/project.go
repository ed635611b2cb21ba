package consumers

import (
	"context"
	"fmt"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// project puts the event into the read model.
func project[T events.Payload](ctx context.Context, c Consumers, e events.Event[T], labels store.Labels, drinks ...string) error {
	e = e.Identified()
	data, err := events.EncodePayload(e.Data)
	if err != nil {
		return fmt.Errorf("%s %s: %w", e.Type, events.LogID(e.ID), err)
	}
	return c.Store.Put(ctx, store.Item{
		Type: e.Type, ID: e.ResourceID(), EventID: e.ID, CreatedAt: e.Metadata.Timestamp.Time(),
		Data: data, Digest: e.Digest(), Labels: labels, Drinks: drinks,
	})
}
