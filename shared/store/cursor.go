package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/sipeat/sipeat/shared/events"
)

// A cursor is base64url of JSON: the position after which the next page begins, and a hash of it and the query without its
// limit, which detects a cursor of another query or one that was changed. It is good in every read model, so it outlives a
// switch to a rebuilt one.
type cursor[P any] struct {
	After P
	Sum   string
}

// Position is a place in a list: after the item with this time, in milliseconds of Unix time, and id.
type Position struct {
	Milli int64
	ID    string
}

// Next is the cursor of the page after last.
func (q Query) Next(last Item) string {
	return encodeCursor(q.identity(), Position{Milli: last.CreatedAt.UnixMilli(), ID: last.ID})
}

// Start returns where the page begins, nil for the first page. A Cursor that Next did not make for this query is Invalid.
func (q Query) Start() (*Position, error) { return decodeCursor[Position](q.Cursor, q.identity()) }

// Next is the cursor of the page after last.
func (q DemandQuery) Next(last DemandKey) string { return encodeCursor(q.identity(), last) }

// Start is like [Query.Start].
func (q DemandQuery) Start() (*DemandKey, error) {
	return decodeCursor[DemandKey](q.Cursor, q.identity())
}

// identity is equal for queries of the same list.
func (q Query) identity() []byte {
	return encode([]any{"list", q.Type, q.Match.Folded(), q.SinceMilli()})
}

func (q DemandQuery) identity() []byte { return encode([]any{"demand", Fold(q.Country), Fold(q.City)}) }

func encodeCursor[P any](query []byte, after P) string {
	return base64.RawURLEncoding.EncodeToString(encode(cursor[P]{after, sum(query, after)}))
}

func sum(query []byte, after any) string {
	hash := sha256.Sum256(append(query, encode(after)...))
	return base64.RawURLEncoding.EncodeToString(hash[:12])
}

func decodeCursor[P any](text string, query []byte) (*P, error) {
	if text == "" {
		return nil, nil
	}
	var c cursor[P]
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(raw, &c) != nil || c.Sum != sum(query, c.After) {
		return nil, &events.Error{Kind: events.Invalid, Message: "the cursor does not belong to this query",
			Fields: []events.FieldError{{Pointer: "/cursor", Detail: "does not belong to this query: " +
				"use the cursor of the previous page with the same filters, or start without one"}}}
	}
	return &c.After, nil
}

func encode(v any) []byte {
	b, _ := json.Marshal(v) // texts and numbers have no errors
	return b
}
