package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/store"
)

// extra is what an item has beside its payload, as given.
type extra struct {
	City      string   `json:"city,omitempty"`
	Country   string   `json:"country,omitempty"`
	MachineID string   `json:"machineId,omitempty"`
	Type      string   `json:"type,omitempty"`
	Drinks    []string `json:"drinks,omitempty"`
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Put implements [store.Writer].
func (s *Store) Put(ctx context.Context, item store.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	l, f := item.Labels, item.Labels.Folded()
	more, err := json.Marshal(extra{l.City, l.Country, l.MachineID, l.Type, item.Drinks})
	if err != nil {
		return s.fault(ctx, err)
	}
	// All is copied here, because the caller may change its memory when ctx has ended.
	values := []any{item.Type, item.ID, item.EventID, item.CreatedAt.UnixMilli(), item.Digest[:], string(item.Data),
		string(more), orNull(f.City), orNull(f.Country), orNull(f.MachineID), orNull(f.Type)}
	demand := item.DemandEntries()
	return s.do(ctx, func(t *tx) error {
		isNew, err := t.changed(`INSERT INTO items (type, id, event, created, digest, data, extra, city, country, machine, kind)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (type, id) DO NOTHING`, values...)
		if err != nil {
			return err
		}
		if !isNew {
			return t.compare(item)
		}
		for _, entry := range demand {
			if err := t.count(entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// compare distinguishes a repeat (nil) from a conflict.
func (t *tx) compare(item store.Item) error {
	return t.each("SELECT digest FROM items WHERE type = ? AND id = ?", []any{item.Type, item.ID}, func(rows *sql.Rows) error {
		var kept sql.RawBytes
		if err := rows.Scan(&kept); err != nil {
			return err
		}
		return item.Compare(kept)
	})
}

const fields = "SELECT type, id, event, created, digest, data, extra FROM items"

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
	if at == nil {
		at = &store.Position{Milli: math.MaxInt64}
	}
	text, args := list(q.Type, q.Match.Folded())
	args = append(args, at.Milli, at.ID, q.SinceMilli(), q.Limit+1)
	var page store.Page
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
		var digest, data, more sql.RawBytes
		if err := rows.Scan(&item.Type, &item.ID, &item.EventID, &created, &digest, &data, &more); err != nil {
			return err
		}
		item.CreatedAt = time.UnixMilli(created).UTC()
		item.Data = append(json.RawMessage{}, data...)
		copy(item.Digest[:], digest)
		var x extra
		if err := json.Unmarshal(more, &x); len(more) > 0 && err != nil { // earlier versions wrote NULL where there was nothing
			return err
		}
		item.Labels = store.Labels{City: x.City, Country: x.Country, MachineID: x.MachineID, Type: x.Type}
		item.Drinks = x.Drinks
		*items = append(*items, item)
		return nil
	}
}
