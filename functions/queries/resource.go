package queries

import (
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Resource is a contact, machine, request or notification: its payload, and the event that created it.
// It is one JSON object, for json/v2.
type Resource[T events.Payload] struct {
	Data       T           `json:",embed"`
	EventID    string      `json:"eventId"`
	CreatedAt  events.Time `json:"createdAt"`
	Deliveries []Delivery  `json:"deliveries,omitzero"` // of a notification; nil = of anything else
}

// List is a page of resources, newest first. NextCursor is the cursor of the next page; null at the end.
type List[T events.Payload] struct {
	Items      []Resource[T] `json:"items"`
	NextCursor *string       `json:"nextCursor"`
}

func show[T events.Payload](item store.Item) (Resource[T], error) {
	data, err := events.DecodePayload[T](item.Data)
	if err != nil {
		return Resource[T]{}, err
	}
	return Resource[T]{Data: data, EventID: item.EventID, CreatedAt: events.At(item.CreatedAt)}, nil
}
