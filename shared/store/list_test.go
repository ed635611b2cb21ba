package store_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
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
			assert.Equal(b, []string{"new", "ä", "b", "a\x00", "a", "B", "old", "oldest"}, ids(b.all(store.Query{Limit: limit})))
		}
		assert.Equal(b, []string{"x"}, ids(b.all(store.Query{Type: contact})))
		assert.Empty(b, b.all(store.Query{Type: "machine-created"}))
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
		for match, want := range map[store.Labels]int{
			{City: "århus  c"}: 1, {City: "Århus  C "}: 1, {Country: "dk"}: 1, {MachineID: "m-1"}: 1, {Type: "contact"}: 1,
			{City: "ÅRHUS  c", Country: "DK", MachineID: "M-1", Type: "CONTACT"}: 1, {Country: "DK", City: " "}: 1,
			{City: "århus c"}: 0, {City: "arhus  c"}: 0, {City: "århus"}: 0, {City: "dk"}: 0, {Country: "dk", Type: "machine"}: 0,
		} {
			assert.Equal(b, []string{"1"}[:want], ids(b.all(store.Query{Match: match})), "%+v", match)
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
			assert.Equal(b, want, ids(b.all(store.Query{Since: since, Limit: 1})), since)
		}
	}},
	{"every filter, alone and combined, finds what it should", func(b *bench) {
		r := b.random()
		pick := func(of ...string) string { return of[r.IntN(len(of))] }
		var items []store.Item
		for n := range 150 {
			i := item(fmt.Sprintf("%x-%d", r.Uint32(), n), r.IntN(20), "")
			i.Labels = store.Labels{City: pick("", "Bonn", "Köln"), Country: pick("", "DE", "FR"),
				MachineID: pick("", "m1", "m2"), Type: pick("", "contact", "machine")}
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
			require.Equal(b, ids(expected(items, q)), ids(b.all(q)), "%+v", q)
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
		for _, i := range b.all(store.Query{Match: store.Labels{City: "berlin"}, Limit: 7}, func() {
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
func expected(items []store.Item, q store.Query) (out []store.Item) {
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

var cursors = []guarantee{
	{"a cursor that was changed is invalid", func(b *bench) {
		b.mustPut(item("1", 1, "", "Cola", "Tea"), item("2", 2, ""))
		good := b.page(b, store.Query{Limit: 1}).Next
		raw, err := base64.RawURLEncoding.DecodeString(good)
		require.NoError(b, err)
		edited := base64.RawURLEncoding.EncodeToString(bytes.Replace(raw, []byte(`"2"`), []byte(`"1"`), 1))
		require.NotEqual(b, good, edited)
		for _, bad := range []string{edited, "x", "!", "AAAA", good + "A", good + "=", good[1:], good[:len(good)-2], " " + good,
			good[1:2] + good[:1] + good[2:], strings.Repeat("A", 5000)} {
			_, err := b.List(b.Context(), store.Query{Type: request, Limit: 1, Cursor: bad})
			isKind(b, events.Invalid, err)
			_, err = b.Demand(b.Context(), store.DemandQuery{Limit: 1, Cursor: bad})
			isKind(b, events.Invalid, err)
		}
	}},
	{"limit, handle, and spellings of the same query may change from page to page", func(b *bench) {
		for n := range 5 {
			b.mustPut(item(fmt.Sprint("\x00/?&=ü", n), n, ""))
		}
		q := store.Query{Limit: 2, Match: store.Labels{City: "BERLIN"}, Since: noon}
		first := b.page(b, q)
		assert.Regexp(b, `^[A-Za-z0-9_-]+$`, first.Next, "it needs no escapes in an address")
		q.Limit, q.Cursor, q.Match.City, q.Since = 3, first.Next, " berlin", q.Since.In(time.FixedZone("", 60))
		second := b.page(b.handle(b.T), q)
		assert.Equal(b, ids(b.all(store.Query{})), append(ids(first.Items), ids(second.Items)...))
	}},
	{"a cursor is good for its own list alone", func(b *bench) {
		i, j := item("1", 1, "", "Cola", "Tea"), item("2", 2, "")
		i.Labels = store.Labels{City: "c", Country: "c", MachineID: "c", Type: "c"}
		j.Labels = i.Labels
		b.mustPut(i, j)
		var reads []func(cursor string) (next string, err error)
		for _, q := range []store.Query{
			{}, {Since: noon}, {Since: noon.Add(time.Millisecond)}, {Match: store.Labels{City: "c"}}, {Match: store.Labels{Country: "c"}},
			{Match: store.Labels{MachineID: "c"}}, {Match: store.Labels{Type: "c"}}, {Match: store.Labels{City: "c", Country: "c"}},
		} {
			reads = append(reads, func(cursor string) (string, error) {
				q.Type, q.Limit, q.Cursor = request, 1, cursor
				page, err := b.List(b.Context(), q)
				return page.Next, err
			})
		}
		for _, q := range []store.DemandQuery{{}, {Country: "c"}, {City: "c"}, {Country: "c", City: "c"}} {
			reads = append(reads, func(cursor string) (string, error) {
				q.Limit, q.Cursor = 1, cursor
				page, err := b.Demand(b.Context(), q)
				return page.Next, err
			})
		}
		for from, first := range reads {
			next, err := first("")
			require.NoError(b, err)
			require.NotEmpty(b, next)
			for to, read := range reads {
				if _, err := read(next); from == to {
					require.NoError(b, err)
				} else {
					isKind(b, events.Invalid, err)
				}
			}
		}
	}},
}
