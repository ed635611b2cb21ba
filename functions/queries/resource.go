package queries

import (
	"encoding/json"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Resource is a contact, machine, request or notification: its payload, and the event that created it.
type Resource[T events.Payload] struct {
	Data       T
	EventID    string
	CreatedAt  events.Time
	Deliveries []Delivery // of a notification; nil = of anything else
}

// MarshalJSON writes one object: the payload's fields, then eventId, createdAt and deliveries.
func (t Resource[T]) MarshalJSON() ([]byte, error) {
	b, err := events.EncodePayload(t.Data)
	if err != nil {
		return nil, err
	}
	own, err := json.Marshal(struct {
		EventID    string      `json:"eventId"`
		CreatedAt  events.Time `json:"createdAt"`
		Deliveries []Delivery  `json:"deliveries,omitzero"`
	}{t.EventID, t.CreatedAt, t.Deliveries})
	if err != nil {
		return nil, err
	}
	if len(b) > len("{}") {
		b[len(b)-1] = ','
		own = own[1:]
	} else {
		b = b[:0]
	}
	return append(b, own...), nil
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
