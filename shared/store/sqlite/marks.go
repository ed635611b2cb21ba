package sqlite

import (
	"context"
	"database/sql"

	"github.com/sipeat/sipeat/shared/store"
)

// Advance implements [store.Marker].
func (s *Store) Advance(ctx context.Context, topic string, from, to map[int32]int64) error {
	return s.do(ctx, func(t *tx) error {
		marks := store.Marks{}
		err := t.each("SELECT topic, partition, held, committed FROM marks WHERE topic = ?", []any{topic}, scanMark(marks))
		if err != nil {
			return err
		}
		for partition, m := range store.Advanced(marks[topic], from, to) {
			err := t.exec(`INSERT INTO marks VALUES (?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET held = excluded.held, committed = excluded.committed`,
				topic, partition, m.Held, m.Committed)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Marks implements [store.Marker].
func (s *Store) Marks(ctx context.Context) (store.Marks, error) {
	marks := store.Marks{}
	err := s.each(ctx, "SELECT topic, partition, held, committed FROM marks", nil, scanMark(marks))
	return marks, err
}

func scanMark(into store.Marks) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var topic string
		var partition int32
		var m store.Mark
		if err := rows.Scan(&topic, &partition, &m.Held, &m.Committed); err != nil {
			return err
		}
		if into[topic] == nil {
			into[topic] = map[int32]store.Mark{}
		}
		into[topic][partition] = m
		return nil
	}
}
