package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

var lists = []guarantee{
	{"newest first, then by the bytes of the id, both descending, of one type", func(b *bench) {
		for _, id := range []string{"b", "B", "ä", "a", "a\x00"} {
			b.mustPut(item(id, 0, ""))
		}
		old, oldest, other := item("old", 0, ""), item("oldest", 0, ""), item("x", 0, "")
		old.CreatedAt, oldest.CreatedAt = time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Time{}
		other.Type = contact
		b.mustPut(old, oldest, other, item("new", 1, ""))
		for _, limit := range []int{1, 100} {
			assert.Equal(b, []string{"new", "ä", "b", "a\x00", "a", "B", "old", "oldest"},
				ids(b.all(b, store.Query{Type: request, Limit: limit})))
		}
		assert.Equal(b, []string{"x"}, ids(b.all(b, store.Query{Type: contact, Limit: 10})))
		assert.Empty(b, b.all(b, store.Query{Type: "machine-created", Limit: 10}))
	}},
	{"a limit is 1 to 100", func(b *bench) {
		for _, limit := range []int{-1, 0, 101} {
			_, err := b.List(b.Context(), store.Query{Type: request, Limit: limit})
			isKind(b, events.Invalid, err)
			_, err = b.Demand(b.Context(), store.DemandQuery{Limit: limit})
			isKind(b, events.Invalid, err)
		}
		_, err := b.List(b.Context(), store.Query{Limit: 1})
		isKind(b, events.Invalid, err)
	}},
	{"the last page says so, even when it is full", func(b *bench) {
		b.mustPut(item("1", 1, ""), item("2", 2, ""), item("3", 3, ""), item("4", 4, ""))
		second := store.Query{Limit: 2, Cursor: b.page(b, store.Query{Limit: 2}).Next}
		for _, q := range []store.Query{second, {Limit: 4}, {Limit: 5}, {Limit: 1, Since: noon.Add(time.Hour)}} {
			assert.Empty(b, b.page(b, q).Next)
		}
	}},
	{"labels are compared without regard to case and surrounding space", func(b *bench) {
		i := item("1", 0, "")
		i.Labels = store.Labels{City: " ÅRHUS  C\t", Country: "Dk", MachineID: "M-1", Type: "Contact"}
		b.mustPut(i, item("2", 0, ""))
		for _, match := range []store.Labels{
			{City: "århus  c"}, {City: "Århus  C "}, {Country: "dk"}, {MachineID: "m-1"}, {Type: "contact"},
			{City: "ÅRHUS  c", Country: "DK", MachineID: "M-1", Type: "CONTACT"}, {Country: "DK", City: " "},
		} {
			assert.Equal(b, []string{"1"}, ids(b.all(b, store.Query{Type: request, Match: match, Limit: 10})), "%+v", match)
		}
		for _, match := range []store.Labels{{City: "århus c"}, {City: "arhus  c"}, {City: "århus"}, {City: "dk"},
			{Country: "dk", Type: "machine"}} {
			assert.Empty(b, b.all(b, store.Query{Type: request, Match: match, Limit: 10}), "%+v", match)
		}
	}},
	{"since lets in what is at or after it, to the millisecond", func(b *bench) {
		at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
		for ms := range 4 {
			i := item(fmt.Sprint(ms), 0, "")
			i.CreatedAt = at(ms)
			b.mustPut(i)
		}
		for since, want := range map[time.Time][]string{
			at(2):                              {"3", "2"},
			at(2).Add(1):                       {"3"},
			at(2).Add(-1):                      {"3", "2"},
			at(3).Add(time.Millisecond):        {},
			at(-9):                             {"3", "2", "1", "0"},
			at(1).In(time.FixedZone("", 7200)): {"3", "2", "1"},
		} {
			assert.Equal(b, want, ids(b.all(b, store.Query{Type: request, Since: since, Limit: 1})), since)
		}
	}},
	{"every filter, alone and combined, finds what it should", func(b *bench) {
		r := b.random()
		pick := func(of ...string) string { return of[r.IntN(len(of))] }
		var items []store.Item
		for n := range 150 {
			i := item(fmt.Sprintf("%x-%d", r.Uint32(), n), r.IntN(20), "")
			i.Labels = store.Labels{City: pick("", "Bonn", "Köln"), Country: pick("", "DE", "FR"), MachineID: pick("", "m1",
				"m2"), Type: pick("", "contact", "machine")}
			items = append(items, i)
		}
		succeed(b, len(items), func(n int) error { return b.put(b, items[n]) })
		for range 60 {
			q := store.Query{Type: request, Limit: 1 + r.IntN(40), Match: store.Labels{
				City: pick("", "", "bonn", "KÖLN"), Country: pick("", "", "de", "FR "), MachineID: pick("", "", "M1", "m2"),
				Type: pick("", "", "contact", "Machine")}}
			if r.IntN(2) == 0 {
				q.Since = noon.Add(time.Duration(r.IntN(20)) * time.Second)
			}
			require.Equal(b, ids(expected(items, q)), ids(b.all(b, q)), "%+v", q)
		}
	}},
	{"paging visits everything of the start exactly once while older, newer and equal ones are added", func(b *bench) {
		r := b.random()
		start := map[string]bool{}
		for n := range 60 {
			i := item(fmt.Sprintf("m%02d", n), r.IntN(5), "") // many share a second
			start[i.ID] = true
			b.mustPut(i)
		}
		added := 0
		seen := map[string]int{}
		for _, i := range b.all(b, store.Query{Type: request, Match: store.Labels{City: "berlin"}, Limit: 7}, func() {
			for _, id := range []string{"a", "m30-", "z"} {
				added++
				b.mustPut(item(fmt.Sprint(id, added), r.IntN(9)-2, ""))
			}
		}) {
			seen[i.ID]++
			delete(start, i.ID)
		}
		assert.Empty(b, start, "never visited")
		for id, n := range seen {
			assert.Equal(b, 1, n, id)
		}
	}},
}

// expected is the list by the letter of the contract.
func expected(items []store.Item, q store.Query) []store.Item {
	var out []store.Item
	m := q.Match.Folded()
	for _, i := range items {
		l := i.Labels.Folded()
		if (m.City == "" || m.City == l.City) && (m.Country == "" || m.Country == l.Country) &&
			(m.MachineID == "" || m.MachineID == l.MachineID) && (m.Type == "" || m.Type == l.Type) && !i.CreatedAt.Before(q.Since) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b store.Item) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	return out
}
