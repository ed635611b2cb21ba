package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// row is an item as it is written. It is made before the item is queued, in the caller's goroutine, and shares no
// memory that the caller may change after an early return.
type row struct {
	values        [11]any // in the order of the insert
	eventType, id string
	digest        [32]byte
	demand        []store.DemandEntry
}

// extra is what an item has beside its payload, as given.
type extra struct {
	City      string   `json:"city,omitempty"`
	Country   string   `json:"country,omitempty"`
	MachineID string   `json:"machineId,omitempty"`
	Type      string   `json:"type,omitempty"`
	Drinks    []string `json:"drinks,omitempty"`
}

func newRow(item store.Item) (*row, error) {
	if err := item.Check(); err != nil {
		return nil, err
	}
	l := item.Labels
	var more any
	if l != (store.Labels{}) || len(item.Drinks) > 0 {
		b, err := json.Marshal(extra{l.City, l.Country, l.MachineID, l.Type, item.Drinks})
		if err != nil {
			return nil, events.Wrap(events.Invalid, err, "the labels of %s %q cannot be kept", item.Type, events.LogID(item.ID))
		}
		more = string(b)
	}
	f := l.Folded()
	r := &row{eventType: item.Type, id: item.ID, digest: item.Digest, demand: item.DemandEntries()}
	r.values = [11]any{item.Type, item.ID, item.EventID, item.CreatedAt.UnixMilli(), r.digest[:], string(item.Data), more,
		orNull(f.City), orNull(f.Country), orNull(f.MachineID), orNull(f.Type)}
	return r, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Put implements [store.Writer].
func (s *Store) Put(ctx context.Context, item store.Item) error {
	r, err := newRow(item)
	if err != nil {
		return err
	}
	return s.do(ctx, func(t *tx) error { return t.put(r) })
}

func (t *tx) put(r *row) error {
	result, err := t.exec(`INSERT INTO items (type, id, event, created, digest, data, extra, city, country, machine, kind)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (type, id) DO NOTHING`, r.values[:]...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return t.compare(r)
	}
	for _, entry := range r.demand {
		t.add(entry)
	}
	return nil
}

// compare distinguishes a repeat (nil) from a conflict.
func (t *tx) compare(r *row) error {
	result := errors.New("a row and its index do not agree")
	err := t.each("SELECT digest FROM items WHERE type = ? AND id = ?", r.values[:2], func(rows *sql.Rows) error {
		var kept sql.RawBytes
		if err := rows.Scan(&kept); err != nil {
			return err
		}
		if result = nil; string(kept) != string(r.digest[:]) {
			result = store.OtherContent(r.eventType, r.id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return result
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
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	at, more, err := q.Start()
	if err != nil {
		return store.Page{}, err
	}
	since, bounded := q.SinceMilli()
	if !bounded {
		since = math.MinInt64
	}
	until := int64(math.MaxInt64)
	if more {
		until = at.CreatedAt.UnixMilli()
	}
	text, args := list(q.Type, q.Match.Folded())
	args = append(args, until, at.ID, since, q.Limit+1)
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
		if len(more) > 0 {
			var x extra
			if err := json.Unmarshal(more, &x); err != nil {
				return err
			}
			item.Labels = store.Labels{City: x.City, Country: x.Country, MachineID: x.MachineID, Type: x.Type}
			item.Drinks = x.Drinks
		}
		*items = append(*items, item)
		return nil
	}
}
