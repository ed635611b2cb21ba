package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// ByID is the parameter of a GET by id.
type ByID struct {
	ID string `path:"id" doc:"The id of the resource, as a POST answered it."`
}

// Page are the parameters of every list.
type Page struct {
	Limit  int       `query:"limit" default:"20" min:"1" max:"100" doc:"The most items to answer."`
	Cursor string    `query:"cursor" doc:"The nextCursor of the previous page."`
	Since  time.Time `query:"since" doc:"Only what was created at this time or later; a date is its first moment in UTC."`
}

// get reads one resource of T.
func get[T events.Payload](ctx context.Context, q Queries, id string) (Resource[T], error) {
	var t T
	item, err := q.Store.Get(ctx, t.Topic(), id)
	if err != nil {
		return Resource[T]{}, err
	}
	return show[T](item)
}

// list reads a page of resources of T.
func list[T events.Payload](ctx context.Context, q Queries, page Page, match store.Labels) (List[T], error) {
	var t T
	found, err := q.Store.List(ctx, store.Query{
		Type: t.Topic(), Match: match, Since: page.Since, Limit: page.Limit, Cursor: page.Cursor,
	})
	if err != nil {
		return List[T]{}, err
	}
	l := List[T]{Items: make([]Resource[T], len(found.Items)), NextCursor: next(found.Next)}
	for i, item := range found.Items {
		if l.Items[i], err = show[T](item); err != nil {
			return List[T]{}, err
		}
	}
	return l, nil
}

func next(cursor string) *string {
	if cursor == "" {
		return nil
	}
	return &cursor
}

// Resource is a contact, machine, request or notification: its payload, and the event that created it.
// It is one JSON object, for json/v2.
type Resource[T events.Payload] struct {
	Data       T                `json:",embed"`
	EventID    string           `json:"eventId"`
	CreatedAt  events.Time      `json:"createdAt"`
	Deliveries []store.Delivery `json:"deliveries,omitzero"` // of a notification; nil = of anything else
}

// List is a page of resources, newest first. NextCursor is the cursor of the next page; null at the end.
type List[T events.Payload] struct {
	Items      []Resource[T] `json:"items"`
	NextCursor *string       `json:"nextCursor"`
}

func show[T events.Payload](item store.Item) (Resource[T], error) {
	data, err := events.DecodePayload[T](item.Data)
	if err != nil {
		return Resource[T]{}, fmt.Errorf("%s %s: %w", item.Type, events.LogID(item.ID), err)
	}
	return Resource[T]{Data: data, EventID: item.EventID, CreatedAt: events.At(item.CreatedAt)}, nil
}
