// Package store is the contract of the read model: what can be asked after the events have been projected.
//
// A store keeps one [Item] per thing, the first event of each id; lists of them, newest first; and [Demand], which
// drinks are asked for where. All of it is derived from the topics and can be thrown away and rebuilt: every row
// belongs to a generation of the model, and one pointer names the living one and one being built beside it.
//
// The contract is held by package storetest, which every implementation passes. Errors are those of package events:
// NotFound, Conflict, Invalid (what is asked or given is not acceptable: a cursor that is none, an item beyond the
// limits below), Unavailable (everything that is not the caller's fault: an outage, throttling, lost rights, a missing
// table, a closed store). A context that ends makes a call return at once, Unavailable, with the context's error in
// the chain; one that had ended before the call changes nothing.
//
// What implementations share is here too: [Item.Check], [Query.Check], [Fold], and the cursors.
package store

import (
	"context"
	"encoding/json"
	"time"
)

// Item is one thing of the read model, made by the first event of its id.
type Item struct {
	Type      string          // the event type that made it, such as "contact-created"
	ID        string          // unique within its type
	EventID   string          // the event that made it
	CreatedAt time.Time       // when that event was made; kept in whole milliseconds, UTC
	Data      json.RawMessage // the payload, kept byte for byte
	Digest    [32]byte        // of the payload without its timestamp: tells a repeat from a conflict
	Labels    Labels          // what lists can be narrowed by
	Drinks    []string        // a request's drinks; each counts once for Labels.Country and Labels.City
}

// Labels are the properties that lists can be narrowed by; an empty one is absent. They are kept as they were given
// and compared folded, as [Fold] says ("Berlin" finds "berlin ").
type Labels struct {
	City      string
	Country   string
	MachineID string
	Type      string // of a notification: contact, machine or request
}

// Query asks for a page of the items of one type, newest first: by CreatedAt, then by the bytes of ID, both descending.
type Query struct {
	Type   string
	Match  Labels    // every label that is not blank must be equal
	Since  time.Time // CreatedAt at or after; zero = all
	Limit  int       // 1 to 100
	Cursor string    // Page.Next of the page before, of a query that is otherwise the same (Limit aside); "" = the first page
}

// Page is a part of a list. Following Next visits every item that was there at the start exactly once, whatever is
// added meanwhile. A page with a Next is full, unless so few items pass a combination of labels that a store gives up
// looking: it may be short then, even empty.
type Page struct {
	Items []Item
	Next  string // "" = this was the last page
}

// Demand says how many requests of a country and city ask for a drink. Spellings that are equal when folded are one;
// each row shows the spelling that came first to it, without surrounding space. A blank drink is none; a blank country or city is "".
type Demand struct {
	Country string `json:"country"`
	City    string `json:"city"`
	Drink   string `json:"drink"`
	Count   int64  `json:"count"`
}

// DemandQuery asks for a page of demand, ordered by the bytes of the folded country, city and drink.
type DemandQuery struct {
	Country, City string // blank = all; City may stand without Country
	Limit         int    // 1 to 100
	Cursor        string // DemandPage.Next, as in Query
}

// DemandPage is a part of the demand. Following Next visits every row that was there at the start exactly once; its
// Count is the one of the moment it is read.
type DemandPage struct {
	Items []Demand
	Next  string
}

// Reader answers from the living generation.
type Reader interface {
	// Get returns the item, or a NotFound error.
	Get(ctx context.Context, eventType, id string) (Item, error)
	List(ctx context.Context, q Query) (Page, error)
	Demand(ctx context.Context, q DemandQuery) (DemandPage, error)
}

// Writer adds to the living generation, and to the one being built if there is one.
type Writer interface {
	// Put keeps the item if it is the first of its type and id, and counts its drinks, both or neither. A repeat (the
	// same Digest) changes nothing. Other content under the same id is a Conflict and changes nothing. When Put
	// returns nil the item is durable and readable; when it returns Unavailable it may or may not have been kept: put
	// it again.
	//
	// The living generation decides what Put answers. In the one being built the first of an id is kept by the same
	// rules, and a difference there is not Put's to report: Rebuild meets the same event and reports it.
	Put(ctx context.Context, item Item) error
}

// Claim tells what became of a claim.
type Claim int

const (
	Claimed Claim = iota // it is the caller's until the lease ends
	Held                 // a lease is still running, somebody else's or an earlier one of the caller's own
	Done                 // it was completed before: nothing is left to do
)

// Claims keeps effects that cannot be repeated (a mail, a chat message) to one sender: claim, send, complete. Claims
// belong to no generation: a rebuilt model tells nobody anything twice.
type Claims interface {
	// Claim asks for the sole right to do the effect id for the length of the lease, at least a millisecond. A lease
	// that has run out can be claimed again, and so can one that ends after [LastHonest]. After Unavailable it may be claimed: the next try then finds it Held until
	// the lease ends. Of a Held one left is how long that is, by this Store's clock; otherwise 0.
	Claim(ctx context.Context, id string, lease time.Duration) (claim Claim, left time.Duration, err error)
	// Complete marks the effect as done for ever, whoever holds the claim: it is only called when it has happened.
	Complete(ctx context.Context, id string) error
	// Release gives a claim back after a failure that surely had no effect, so that the next try need not wait. It
	// changes nothing when the claim is not this Store's: completed, never made, or claimed by another since.
	Release(ctx context.Context, id string) error
}

// Generations is how a model is rebuilt beside the living one. Generation numbers start at 1 and only grow.
type Generations interface {
	// Generations tells the living generation, and the one being built (0 = none).
	Generations(ctx context.Context) (living, building int, err error)
	// Build starts an empty generation beside the living one and returns its number; from now on Put writes to both.
	// It is a Conflict while one is being built.
	Build(ctx context.Context) (generation int, err error)
	// Rebuild keeps the item in the generation being built alone, by the rules of Put. It is a Conflict when generation
	// is not the one being built.
	Rebuild(ctx context.Context, generation int, item Item) error
	// Switch makes the generation being built the living one, in one write, and drops the rows of the old one
	// afterwards. It is a Conflict when generation is not the one being built. Cursors of before stay good.
	Switch(ctx context.Context, generation int) error
	// Abandon drops the generation being built. It is a Conflict when generation is not the one being built.
	Abandon(ctx context.Context, generation int) error
}

// Store is a whole read model. It is safe for use by several goroutines and, on the same data, several processes.
type Store interface {
	Reader
	Writer
	Claims
	Generations
	// Ping reports whether the store can be reached and read.
	Ping(ctx context.Context) error
	// Close ends what is under way and lets go of the data. Every later call is Unavailable; a second Close does nothing.
	Close() error
}
