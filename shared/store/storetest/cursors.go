package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

var cursors = []guarantee{
	{"garbage is invalid", func(b *bench) {
		b.mustPut(item("1", 1, "", "Cola", "Tea"), item("2", 2, ""))
		page, err := b.List(b.Context(), store.Query{Type: request, Limit: 1})
		require.NoError(b, err)
		rows, err := b.Demand(b.Context(), store.DemandQuery{Limit: 1})
		require.NoError(b, err)
		require.NotEmpty(b, rows.Next)
		good := page.Next
		swapped := strings.ToUpper(good[:1])
		if swapped == good[:1] {
			swapped = strings.ToLower(good[:1] + "x")[:1]
		}
		for _, bad := range []string{"x", "!", "AAAA", good + "A", good + "=", good[1:], good[:len(good)-2], swapped + "_" +
			good[2:], strings.Repeat("A", 5000), rows.Next, " " + good} {
			_, err := b.List(b.Context(), store.Query{Type: request, Limit: 1, Cursor: bad})
			b.isKind(events.Invalid, err)
		}
		for _, bad := range []string{"x", good, rows.Next + "A", rows.Next[:len(rows.Next)-2]} {
			_, err := b.Demand(b.Context(), store.DemandQuery{Limit: 1, Cursor: bad})
			b.isKind(events.Invalid, err)
		}
	}},
	{"another list's cursor is invalid", func(b *bench) {
		i, j := item("1", 1, ""), item("2", 2, "")
		i.Labels = store.Labels{City: "c", Country: "c", MachineID: "c", Type: "c"}
		j.Labels = i.Labels
		b.mustPut(i, j)
		queries := []store.Query{
			{Type: request}, {Type: contact}, {Type: request, Since: noon}, {Type: request, Since: noon.Add(time.Millisecond)},
			{Type: request, Match: store.Labels{City: "c"}}, {Type: request, Match: store.Labels{Country: "c"}},
			{Type: request, Match: store.Labels{MachineID: "c"}}, {Type: request, Match: store.Labels{Type: "c"}},
			{Type: request, Match: store.Labels{City: "c", Country: "c"}}, {Type: request, Match: store.Labels{City: "d"}},
		}
		for from, q := range queries {
			q.Limit = 1
			page, err := b.List(b.Context(), q)
			require.NoError(b, err)
			if page.Next == "" {
				continue
			}
			for to, other := range queries {
				other.Limit, other.Cursor = 1, page.Next
				_, err := b.List(b.Context(), other)
				if from == to {
					require.NoError(b, err)
				} else {
					b.isKind(events.Invalid, err)
				}
			}
		}
	}},
	{"other demand's cursor is invalid", func(b *bench) {
		b.mustPut(item("1", 0, "", "Cola", "Tea"))
		queries := []store.DemandQuery{{}, {Country: "de"}, {City: "berlin"}, {Country: "de", City: "berlin"},
			{Country: "berlin", City: "de"}}
		for from, q := range queries[:4] {
			q.Limit = 1
			page, err := b.Demand(b.Context(), q)
			require.NoError(b, err)
			require.NotEmpty(b, page.Next)
			for to, other := range queries {
				other.Limit, other.Cursor = 1, page.Next
				_, err := b.Demand(b.Context(), other)
				if from == to {
					require.NoError(b, err)
				} else {
					b.isKind(events.Invalid, err)
				}
			}
		}
	}},
	{"the limit, and what folds to the same query, may change from page to page", func(b *bench) {
		for n := range 6 {
			b.mustPut(item(fmt.Sprint(n), n, ""))
		}
		q := store.Query{Type: request, Limit: 2, Match: store.Labels{City: "BERLIN"}, Since: noon}
		first, err := b.List(b.Context(), q)
		require.NoError(b, err)
		q.Limit, q.Cursor, q.Match.City, q.Since = 3, first.Next, " berlin", q.Since.In(time.FixedZone("", 60))
		second, err := b.List(b.Context(), q)
		require.NoError(b, err)
		assert.Equal(b, []string{"5", "4", "3", "2", "1"}, append(ids(first.Items), ids(second.Items)...))
	}},
	{"a cursor is good in every handle, and in an address without escapes", func(b *bench) {
		b.mustPut(item("\x00/?&=ü", 1, ""), item("2", 0, ""))
		page, err := b.List(b.Context(), store.Query{Type: request, Limit: 1})
		require.NoError(b, err)
		assert.Regexp(b, `^[A-Za-z0-9_-]+$`, page.Next)
		rest, err := b.handle().List(b.Context(), store.Query{Type: request, Limit: 1, Cursor: page.Next})
		require.NoError(b, err)
		assert.Equal(b, []string{"2"}, ids(rest.Items))
	}},
}
