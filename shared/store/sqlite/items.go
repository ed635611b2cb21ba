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

const (
	living = "generation = (SELECT living FROM generations WHERE one = 1)"
	fields = "SELECT type, id, event, created, digest, data, extra FROM items"
)

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, eventType, id string) (store.Item, error) {
	var items []store.Item
	err := s.reads.each(ctx, fields+" INDEXED BY items_id WHERE "+living+" AND type = ? AND id = ?", []any{eventType, id}, gather(&items))
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
	if err := s.reads.each(ctx, text, args, gather(&page.Items)); err != nil {
		return store.Page{}, err
	}
	if len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.Next = q.Next(page.Items[q.Limit-1])
	}
	return page, nil
}

// list is the statement for a list, and its first arguments. Of several labels the one that narrows most has its index
// walked, and the others are compared row by row: SQLite, which keeps no statistics here, could only guess.
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
	return fields + " INDEXED BY " + index + " WHERE " + living + " AND type = ?" + where.String() +
		" AND (created, id) < (?, ?) AND created >= ? ORDER BY created DESC, id DESC LIMIT ?", args
}

func gather(items *[]store.Item) func(*sql.Rows) error {
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
