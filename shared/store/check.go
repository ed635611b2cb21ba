package store

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/sipeat/sipeat/shared/events"
)

// The limits of items and queries. They follow DynamoDB's, so that every store refuses the same things: a sort key has at most
// 1024 bytes, an item 400 KB, a transaction 100 writes (an item and its drinks).
const (
	MaxID     = 512       // bytes of an item's Type and ID, and of the id of a claim
	MaxData   = 256 << 10 // bytes of an item's Data
	MaxDrinks = 40        // an item's Drinks
	MaxText   = 64 << 10  // bytes of an item's EventID, Labels and Drinks together
	MaxLimit  = 100       // items of a page, ids of [Claims.Deliveries]
)

// Check refuses, as Invalid, an item that no store can keep.
func (i Item) Check() error {
	switch {
	case !validID(i.Type):
		return invalid("an item's type must have 1 to %d bytes of UTF-8, this one has %d", MaxID, len(i.Type))
	case !validID(i.ID):
		return invalid("an item's id must have 1 to %d bytes of UTF-8, this one of type %q has %d", MaxID, i.Type, len(i.ID))
	case i.Digest == [32]byte{}:
		return invalid("%s %q has no digest, without which a repeat cannot be distinguished from a conflict", i.Type, i.ID)
	case len(i.Data) > MaxData:
		return invalid("%s %q has %d bytes of data, at most %d can be kept", i.Type, i.ID, len(i.Data), MaxData)
	case !json.Valid(i.Data):
		return invalid("the data of %s %q is not JSON", i.Type, i.ID)
	case len(i.Drinks) > MaxDrinks:
		return invalid("%s %q has %d drinks, at most %d can be counted", i.Type, i.ID, len(i.Drinks), MaxDrinks)
	}
	text := len(i.EventID) + len(i.Labels.City) + len(i.Labels.Country) + len(i.Labels.MachineID) + len(i.Labels.Type)
	for _, d := range i.Drinks {
		text += len(d)
	}
	if text > MaxText {
		return invalid("%s %q has %d bytes of labels and drinks, at most %d can be kept", i.Type, i.ID, text, MaxText)
	}
	return nil
}

// Check refuses, as Invalid, a query that cannot be answered; its Cursor is checked by [Query.Start].
func (q Query) Check() error {
	if q.Type == "" {
		return invalid("a list needs the type of its items")
	}
	return checkLimit(q.Limit)
}

// Check refuses, as Invalid, a query that cannot be answered; its Cursor is checked by [DemandQuery.Start].
func (q DemandQuery) Check() error { return checkLimit(q.Limit) }

// SinceMilli is Since in milliseconds of Unix time, rounded up.
func (q Query) SinceMilli() (ms int64, bounded bool) {
	if q.Since.IsZero() {
		return 0, false
	}
	ms = q.Since.UnixMilli()
	if q.Since.After(time.UnixMilli(ms)) { // items are kept in whole milliseconds
		ms++
	}
	return ms, true
}

func checkLimit(limit int) error {
	if limit < 1 || limit > MaxLimit {
		return invalid("limit must be 1 to %d, it is %d", MaxLimit, limit)
	}
	return nil
}

func validID(s string) bool { return s != "" && len(s) <= MaxID && utf8.ValidString(s) }

func invalid(format string, args ...any) error { return events.Errorf(events.Invalid, format, args...) }
