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
		rows, err := b.Demand(b.Context(), store.DemandQuery{Limit: 1})
		require.NoError(b, err)
		require.NotEmpty(b, rows.Next)
		good := b.page(b, store.Query{Limit: 1}).Next
		swapped := good[1:2] + good[:1] + good[2:]
		for _, bad := range []string{"x", "!", "AAAA", good + "A", good + "=", good[1:], good[:len(good)-2], swapped,
			strings.Repeat("A", 5000), rows.Next, " " + good} {
			_, err := b.List(b.Context(), store.Query{Type: request, Limit: 1, Cursor: bad})
			isKind(b, events.Invalid, err)
		}
		for _, bad := range []string{"x", good, rows.Next + "A", rows.Next[:len(rows.Next)-2]} {
			_, err := b.Demand(b.Context(), store.DemandQuery{Limit: 1, Cursor: bad})
			isKind(b, events.Invalid, err)
		}
	}},
	{"limit, handle, and spellings of the same query may change from page to page", func(b *bench) {
		for n := range 5 {
			b.mustPut(item(fmt.Sprint("\x00/?&=ü", n), n, ""))
		}
		q := store.Query{Type: request, Limit: 2, Match: store.Labels{City: "BERLIN"}, Since: noon}
		first := b.page(b, q)
		assert.Regexp(b, `^[A-Za-z0-9_-]+$`, first.Next, "it needs no escapes in an address")
		q.Limit, q.Cursor, q.Match.City, q.Since = 3, first.Next, " berlin", q.Since.In(time.FixedZone("", 60))
		second := b.page(b.handle(), q)
		assert.Equal(b, ids(b.all(b, store.Query{Type: request, Limit: 9})), append(ids(first.Items), ids(second.Items)...))
	}},
	{"a cursor is good for its own list alone", func(b *bench) {
		i, j := item("1", 1, "", "Cola", "Tea"), item("2", 2, "")
		i.Labels = store.Labels{City: "c", Country: "c", MachineID: "c", Type: "c"}
		j.Labels = i.Labels
		b.mustPut(i, j)
		lists := []store.Query{
			{}, {Since: noon}, {Since: noon.Add(time.Millisecond)}, {Match: store.Labels{City: "c"}}, {Match: store.Labels{Country: "c"}},
			{Match: store.Labels{MachineID: "c"}}, {Match: store.Labels{Type: "c"}}, {Match: store.Labels{City: "c", Country: "c"}},
		}
		b.ownCursors(len(lists), func(n int, cursor string) (string, error) {
			q := lists[n]
			q.Type, q.Limit, q.Cursor = request, 1, cursor
			page, err := b.List(b.Context(), q)
			return page.Next, err
		})
		demands := []store.DemandQuery{{}, {Country: "c"}, {City: "c"}, {Country: "c", City: "c"}}
		b.ownCursors(len(demands), func(n int, cursor string) (string, error) {
			q := demands[n]
			q.Limit, q.Cursor = 1, cursor
			page, err := b.Demand(b.Context(), q)
			return page.Next, err
		})
	}},
}

// ownCursors checks that the cursor of each query's first page is good for that query alone.
func (b *bench) ownCursors(queries int, read func(query int, cursor string) (next string, err error)) {
	b.Helper()
	for from := range queries {
		next, err := read(from, "")
		require.NoError(b, err)
		require.NotEmpty(b, next)
		for to := range queries {
			if _, err := read(to, next); from == to {
				require.NoError(b, err)
			} else {
				isKind(b, events.Invalid, err)
			}
		}
	}
}
