package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/sipeat/sipeat/shared/events"
)

// A cursor is base64url of a tag and, as JSON, the position after which the next page begins. The tag is a hash of query and
// position: it detects a cursor of another query and one that was cut or changed. It is not a secret. A cursor is good in
// every read model, so it outlives a switch to a rebuilt one.
const tagBytes = 12

// Position is a place in a list: after the item with this time, in milliseconds of Unix time, and id.
type Position struct {
	Milli int64
	ID    string
}

// Next is the cursor of the page after last.
func (q Query) Next(last Item) string {
	return seal(q.identity(), Position{Milli: last.CreatedAt.UnixMilli(), ID: last.ID})
}

// Start checks the query and returns where the page begins, nil for the first page. A Cursor that Next did not make for this
// query is Invalid.
func (q Query) Start() (*Position, error) {
	if q.Type == "" {
		return nil, invalid("a list needs the type of its items")
	}
	return start[Position](q.Limit, q.Cursor, q.identity())
}

// Next is the cursor of the page after last.
func (q DemandQuery) Next(last DemandKey) string { return seal(q.identity(), last) }

// Start is like [Query.Start].
func (q DemandQuery) Start() (*DemandKey, error) {
	return start[DemandKey](q.Limit, q.Cursor, q.identity())
}

// identity is equal for queries of the same list.
func (q Query) identity() any { return []any{"list", q.Type, q.Match.Folded(), q.SinceMilli()} }

func (q DemandQuery) identity() any { return []any{"demand", Fold(q.Country), Fold(q.City)} }

func seal(identity, position any) string {
	b := encode(position)
	return base64.RawURLEncoding.EncodeToString(append(tag(identity, b), b...))
}

var errCursor = &events.Error{
	Kind: events.Invalid, Message: "the cursor does not belong to this query",
	Fields: []events.FieldError{{Pointer: "/cursor", Detail: "does not belong to this query: " +
		"use the cursor of the previous page with the same filters, or start without one"}},
}

func start[P any](limit int, cursor string, identity any) (*P, error) {
	switch {
	case limit < 1 || limit > MaxLimit:
		return nil, invalid("limit must be 1 to %d, it is %d", MaxLimit, limit)
	case cursor == "":
		return nil, nil
	}
	var position P
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < tagBytes || string(raw[:tagBytes]) != string(tag(identity, raw[tagBytes:])) ||
		json.Unmarshal(raw[tagBytes:], &position) != nil {
		return nil, errCursor
	}
	return &position, nil
}

func tag(identity any, position []byte) []byte {
	sum := sha256.Sum256(append(encode(identity), position...))
	return sum[:tagBytes]
}

func encode(v any) []byte {
	b, _ := json.Marshal(v) // texts and numbers have no errors
	return b
}
