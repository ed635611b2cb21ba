package store

import (
	"math"
	"time"
	"unicode/utf8"

	"github.com/sipeat/sipeat/shared/events"
)

// The limits of items and queries. They follow DynamoDB's, so that every store refuses the same things: a sort key has at most
// 1024 bytes, an item 400 KB, a transaction 100 writes (an item and its drinks).
const (
	MaxID     = 512       // bytes of an item's ID, and of the id of a claim
	MaxData   = 256 << 10 // bytes of an item's Data
	MaxDrinks = 40        // an item's Drinks
	MaxText   = 64 << 10  // bytes of an item's EventID, Labels and Drinks together
	MaxLimit  = 100       // items of a page, ids of [Claims.Deliveries]
)

// Check refuses, as Invalid, an item that no store can keep.
func (i Item) Check() error {
	text := len(i.EventID) + len(i.Labels.City) + len(i.Labels.Country) + len(i.Labels.MachineID) + len(i.Labels.Type)
	for _, d := range i.Drinks {
		text += len(d)
	}
	switch {
	case !validID(i.ID):
		return invalid("an id needs 1 to %d bytes of UTF-8", MaxID)
	case len(i.Data) > MaxData:
		return invalid("the data of %s %q has %d bytes, at most %d can be kept", i.Type, i.ID, len(i.Data), MaxData)
	case len(i.Drinks) > MaxDrinks || text > MaxText:
		return invalid("%s %q has %d drinks and %d bytes of labels, at most %d and %d can be kept",
			i.Type, i.ID, len(i.Drinks), text, MaxDrinks, MaxText)
	}
	return nil
}

// SinceMilli is Since in milliseconds of Unix time, rounded up as items are kept in whole milliseconds. Without Since it is
// the earliest time there is.
func (q Query) SinceMilli() int64 {
	if q.Since.IsZero() {
		return math.MinInt64
	}
	return q.Since.Add(time.Millisecond - 1).UnixMilli()
}

func validID(s string) bool { return s != "" && len(s) <= MaxID && utf8.ValidString(s) }

func invalid(format string, args ...any) error { return events.Errorf(events.Invalid, format, args...) }
