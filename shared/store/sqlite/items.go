package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/store"
)

// Put implements [store.Writer].
func (s *Store) Put(ctx context.Context, item store.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	f := item.Labels.Folded()
	// All is copied here, because the caller may change its memory when ctx has ended.
	values := []any{item.Type, item.ID, item.EventID, item.CreatedAt.UnixMilli(), item.Digest[:], string(item.Data),
		f.City, f.Country, f.MachineID, f.Type}
	demand := item.DemandEntries()
	return s.do(ctx, false, func(t *tx) error {
		isNew, err := t.changed(`INSERT INTO items (type, id, event, created, digest, data, city, country, machine, kind)
			VALUES (?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), nullif(?, ''))
			ON CONFLICT (type, id) DO NOTHING`, values...)
		if err != nil {
			return err
		}
		if !isNew {
			return t.compare(item)
		}
		for _, e := range demand { // a row shows the spelling that came first
			err := t.exec(`INSERT INTO demand (country, city, drink, shown_country, shown_city, shown_drink, count)
				VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1`,
				e.Country, e.City, e.Drink, e.Shown.Country, e.Shown.City, e.Shown.Drink)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) compare(item store.Item) error {
	const text = "SELECT digest FROM items WHERE type = ? AND id = ?"
	return t.each(context.Background(), text, []any{item.Type, item.ID}, func(rows *sql.Rows) error {
		var kept sql.RawBytes
		if err := rows.Scan(&kept); err != nil {
			return err
		}
		return item.Compare(kept)
	})
}

const fields = "SELECT type, id, event, created, digest, data FROM items"

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, eventType, id string) (store.Item, error) {
	var items []store.Item
	err := s.each(ctx, fields+" INDEXED BY items_id WHERE type = ? AND id = ?", []any{eventType, id}, scanTo(&items))
	if err == nil && len(items) == 0 {
		err = store.Missing(id)
	}
	if err != nil {
		return store.Item{}, err
	}
	return items[0], nil
}

// List implements [store.Reader].
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	at, err := q.Start()
	if err != nil {
		return store.Page{}, err
	}
	at = cmp.Or(at, &store.Position{Milli: math.MaxInt64})
	text, args := list(q.Type, q.Match.Folded())
	args = append(args, at.Milli, at.ID, q.SinceMilli(), q.Limit+1)
	page := store.Page{Items: make([]store.Item, 0, q.Limit+1)}
	if err := s.each(ctx, text, args, scanTo(&page.Items)); err != nil {
		return store.Page{}, err
	}
	if len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.Next = q.Next(page.Items[q.Limit-1])
	}
	return page, nil
}

// list is the statement for a list, and its first arguments. Of several labels, the index of the most selective one is
// walked and the others are compared row by row: SQLite, which keeps no statistics here, could only guess.
func list(eventType string, m store.Labels) (text string, args []any) {
	index, args := "items_all", []any{eventType}
	var where strings.Builder
	for _, label := range []struct{ column, value string }{
		{"kind", m.Type}, {"country", m.Country}, {"city", m.City}, {"machine", m.MachineID}, // the last wins
	} {
		if label.value != "" {
			index = "items_" + label.column
			where.WriteString(" AND " + label.column + " = ?")
			args = append(args, label.value)
		}
	}
	return fields + " INDEXED BY " + index + " WHERE type = ?" + where.String() +
		" AND (created, id) < (?, ?) AND created >= ? ORDER BY created DESC, id DESC LIMIT ?", args
}

func scanTo(items *[]store.Item) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var item store.Item
		var created int64
		var digest, data sql.RawBytes
		if err := rows.Scan(&item.Type, &item.ID, &item.EventID, &created, &digest, &data); err != nil {
			return err
		}
		item.CreatedAt = time.UnixMilli(created).UTC()
		item.Data = append([]byte{}, data...)
		copy(item.Digest[:], digest)
		*items = append(*items, item)
		return nil
	}
}

// Demand implements [store.Reader].
func (s *Store) Demand(ctx context.Context, q store.DemandQuery) (store.DemandPage, error) {
	at, err := q.Start()
	if err != nil {
		return store.DemandPage{}, err
	}
	at = cmp.Or(at, &store.DemandKey{}) // the first page begins after a blank drink, which does not exist
	text, args := demand(store.Fold(q.Country), store.Fold(q.City), *at)
	args = append(args, q.Limit+1)
	var page store.DemandPage
	err = s.each(ctx, text, args, func(rows *sql.Rows) error {
		var d store.Demand
		err := rows.Scan(&d.Country, &d.City, &d.Drink, &d.Count)
		page.Items = append(page.Items, d)
		return err
	})
	if err != nil {
		return store.DemandPage{}, err
	}
	if len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.Next = q.Next(page.Items[q.Limit-1].Key())
	}
	return page, nil
}

// demand is the statement for a page of demand after a key, and its first arguments.
func demand(country, city string, at store.DemandKey) (text string, args []any) {
	const from = "SELECT shown_country, shown_city, shown_drink, count FROM demand "
	const order = " ORDER BY country, city, drink LIMIT ?"
	switch {
	case country != "" && city != "":
		return from + "WHERE country = ? AND city = ? AND drink > ?" + order, []any{country, city, at.Drink}
	case country != "":
		return from + "WHERE country = ? AND (city, drink) > (?, ?)" + order, []any{country, at.City, at.Drink}
	case city != "":
		return from + "INDEXED BY demand_city WHERE city = ? AND (country, drink) > (?, ?)" + order,
			[]any{city, at.Country, at.Drink}
	}
	return from + "WHERE (country, city, drink) > (?, ?, ?)" + order, []any{at.Country, at.City, at.Drink}
}
