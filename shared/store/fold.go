package store

import (
	"slices"
	"strings"
	"unicode/utf8"
)

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
