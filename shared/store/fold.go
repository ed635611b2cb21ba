package store

import (
	"strings"
	"unicode/utf8"
)

// FoldedBytes is the length that a folded text is cut to. Country, city and drink together must fit the 1024 bytes of
// a DynamoDB sort key, and what somebody typed into a form is no reason to refuse an event.
const FoldedBytes = 256

// Fold is what texts are compared by: lower case (Unicode), without surrounding space, inner space as it is, the first
// [FoldedBytes] bytes. Accents count, and so does the way they are composed (no normalisation).
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

// Folded are the labels as they are compared.
func (l Labels) Folded() Labels {
	return Labels{City: Fold(l.City), Country: Fold(l.Country), MachineID: Fold(l.MachineID), Type: Fold(l.Type)}
}

// DemandKey is what demand is counted and ordered by: folded texts.
type DemandKey struct{ Country, City, Drink string }

// Wish is one drink that an item asks for: its key, and the spellings to show if it is the first.
type Wish struct {
	DemandKey
	Shown Demand // Count is 1
}

// Wishes are the distinct drinks that the item asks for.
func (i Item) Wishes() []Wish {
	if len(i.Drinks) == 0 {
		return nil
	}
	key := DemandKey{Country: Fold(i.Labels.Country), City: Fold(i.Labels.City)}
	shown := Demand{Country: display(i.Labels.Country), City: display(i.Labels.City), Count: 1}
	wishes := make([]Wish, 0, len(i.Drinks))
next:
	for _, drink := range i.Drinks {
		if key.Drink = Fold(drink); key.Drink == "" {
			continue
		}
		for _, w := range wishes { // at most MaxDrinks: cheaper than a map
			if w.Drink == key.Drink {
				continue next
			}
		}
		shown.Drink = display(drink)
		wishes = append(wishes, Wish{key, shown})
	}
	return wishes
}

func display(s string) string { return strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD")) }
