package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
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
	if !validID(i.ID) || len(i.Data) > MaxData || len(i.Drinks) > MaxDrinks || text > MaxText {
		return events.Errorf(events.Invalid, "an item may have an id of 1 to %d bytes of UTF-8, %d bytes of data, %d drinks and "+
			"%d bytes of other text; this one has %d, %d, %d and %d", MaxID, MaxData, MaxDrinks, MaxText,
			len(i.ID), len(i.Data), len(i.Drinks), text)
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

// Compare distinguishes a repeat (nil) of the item that is kept with this digest from a Conflict, whose text holds nothing of
// the payload, because it is logged and written to dead letters.
func (i Item) Compare(kept []byte) error {
	if string(kept) == string(i.Digest[:]) {
		return nil
	}
	return events.Errorf(events.Conflict,
		"%s %q exists with other content, and the first is kept; if this one is meant as well, send it under another id",
		i.Type, events.LogID(i.ID))
}

// Missing is the NotFound of an item.
func Missing(id string) error {
	return events.Errorf(events.NotFound, "nothing is known under the id %q (yet)", events.LogID(id))
}

// Fault is the error of a call that failed for a reason of the store's own: that its context ended, or else err with a text
// that says what is wrong. It is always Unavailable, because no argument can cause one. An error that has a kind already is
// returned as it is.
func Fault(ctx context.Context, err error, text func() string) error {
	var known *events.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return events.Wrap(events.Unavailable, ctx.Err(), "the caller stopped waiting for the read model")
	}
	return events.Wrap(events.Unavailable, err, "%s", text())
}

func validID(s string) bool { return s != "" && len(s) <= MaxID && utf8.ValidString(s) }

// FoldedBytes is the length that a folded text is cut to: country, city and drink together must fit the 1024 bytes of a
// DynamoDB sort key, and a long text in a form must not cause an event to be refused.
const FoldedBytes = 256

// Fold returns the form in which texts are compared: lower case (Unicode), without surrounding space, inner space unchanged, the
// first [FoldedBytes] bytes. Accents count, and so does the way they are composed (no normalisation).
func Fold(s string) string {
	s = strings.ToLower(strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD")))
	if len(s) <= FoldedBytes {
		return s
	}
	end := FoldedBytes
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimSpace(s[:end])
}

// Folded returns the labels in the form in which they are compared.
func (l Labels) Folded() Labels {
	return Labels{City: Fold(l.City), Country: Fold(l.Country), MachineID: Fold(l.MachineID), Type: Fold(l.Type)}
}

// DemandKey identifies and orders a row of demand: folded texts.
type DemandKey struct{ Country, City, Drink string }

// Key is the key of the row.
func (d Demand) Key() DemandKey {
	return DemandKey{Country: Fold(d.Country), City: Fold(d.City), Drink: Fold(d.Drink)}
}

// DemandEntry is what one item adds to one row of demand, with the spellings to show if it is the first.
type DemandEntry struct {
	DemandKey
	Shown Demand // Count is 1
}

// DemandEntries returns an entry for each distinct drink of the item.
func (i Item) DemandEntries() (entries []DemandEntry) {
	for _, drink := range i.Drinks {
		shown := Demand{Country: display(i.Labels.Country), City: display(i.Labels.City), Drink: display(drink), Count: 1}
		key := shown.Key()
		if key.Drink == "" || slices.ContainsFunc(entries, func(e DemandEntry) bool { return e.DemandKey == key }) {
			continue
		}
		entries = append(entries, DemandEntry{key, shown})
	}
	return entries
}

func display(s string) string { return strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD")) }
