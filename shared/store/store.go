// Package store is the contract of the read model, which answers queries from what the consumers projected, and of the
// delivery claims.
//
// A read model keeps one [Item] per resource, made by the first event of each id; lists of them, newest first; and [Demand], the
// number of requests per drink and place. All of it is derived from the topics. One table or file is one read model: to rebuild
// one, build another from the beginning of the topics and switch to it.
//
// The contract is tested in this folder, over every implementation. Errors are those of package events:
// NotFound, Conflict, Invalid (an argument is not acceptable: a bad cursor, an item beyond the limits below), Unavailable
// (everything that is not the caller's fault: an outage, throttling, lost rights, a missing table). A
// context that ends makes a call return at once, Unavailable, with the context's error in the chain; one that had ended
// before the call changes nothing.
//
// Implementations share what is here too: [Item.Check], [Item.Compare], [Query.Start], [Fold], [Advanced], and the cursors.
package store

import (
	"context"
	"encoding/json"
	"time"
)

// Item is one resource of the read model, made by the first event of its id.
type Item struct {
	Type      string          // the event type that made it, such as "contact-created"
	ID        string          // unique within its type
	EventID   string          // the event that made it
	CreatedAt time.Time       // when that event was made; kept in whole milliseconds, UTC
	Data      json.RawMessage // the payload, kept byte for byte
	Digest    [32]byte        // of the payload without its timestamp: distinguishes a repeat from a conflict
	Labels    Labels          // what lists can be filtered by; for Put only
	Drinks    []string        // of a request; each counts once for Labels.Country and Labels.City; for Put only
}

// Labels are the properties that lists can be filtered by; an empty one is absent. They are compared folded, see [Fold]
// ("Berlin" finds "berlin "). Their JSON is part of cursors.
type Labels struct {
	City      string `json:"city,omitempty"`
	Country   string `json:"country,omitempty"`
	MachineID string `json:"machineId,omitempty"`
	Type      string `json:"type,omitempty"` // of a notification: contact, machine or request
}

// Query selects a page of the items of one type, newest first: by CreatedAt, then by the bytes of ID, both descending.
type Query struct {
	Type   string
	Match  Labels    // every label that is not blank must be equal
	Since  time.Time // CreatedAt at or after; zero = all
	Limit  int       // 1 to 100
	Cursor string    // Page.Next of the previous page of the same query (Limit may differ); "" = the first page
}

// Page is a part of a list. Following Next visits every item that existed at the start exactly once, even if others are added
// meanwhile. A page with a Next is full, unless so few items pass a combination of labels that a store stops looking: then it may
// be short, even empty.
type Page struct {
	Items []Item
	Next  string // "" = this was the last page
}

// Demand is the number of requests for a drink in a country and city. Spellings that are equal when folded are one row,
// which shows the spelling that came first, without surrounding space. A blank drink is not counted; a blank country or
// city is "".
type Demand struct {
	Country string `json:"country"`
	City    string `json:"city"`
	Drink   string `json:"drink"`
	Count   int64  `json:"count"`
}

// DemandQuery selects a page of demand, ordered by the bytes of the folded country, city and drink.
type DemandQuery struct {
	Country, City string // blank = all; City may be given without Country
	Limit         int    // 1 to 100
	Cursor        string // DemandPage.Next, as in Query
}

// DemandPage is a part of the demand. Following Next visits every row that existed at the start exactly once, with the
// Count of the moment at which it is read.
type DemandPage struct {
	Items []Demand
	Next  string
}

// Reader answers queries.
type Reader interface {
	// Get returns the item, or a NotFound error.
	Get(ctx context.Context, eventType, id string) (Item, error)
	List(ctx context.Context, q Query) (Page, error)
	Demand(ctx context.Context, q DemandQuery) (DemandPage, error)
}

// Writer adds items.
type Writer interface {
	// Put keeps the item if it is the first of its type and id, and counts its drinks, both or neither. A repeat (the
	// same Digest) changes nothing. Other content under the same id is a Conflict and changes nothing. When Put
	// returns nil the item is readable and survives a killed process; it survives a power failure when Advance has returned
	// nil after that. When Put returns Unavailable the item may or may not have been kept: put it again.
	Put(ctx context.Context, item Item) error
}

// Store is a whole read model. It is safe for use by several goroutines and, on the same data, several processes.
type Store interface {
	Reader
	Writer
	Marker
	// Ping reports whether the model can be reached and read, and whether it holds what the consumer groups have committed.
	Ping(ctx context.Context) error
	// Close waits for writes under way and releases what the store holds. A later call may be Unavailable; a second Close does
	// nothing.
	Close() error
}
