package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sipeat/sipeat/shared/store"
)

// statements are what the writer runs, prepared on its connection.
type statements struct {
	commit, pointer, point, insert, digest, count *sql.Stmt
	claim, claimed, release                       *sql.Stmt
	dropItems, dropDemand                         *sql.Stmt
	all                                           []*sql.Stmt
}

func (s *statements) prepare(ctx context.Context, conn *sql.Conn) error {
	for stmt, text := range map[**sql.Stmt]string{
		&s.commit:  "COMMIT",
		&s.pointer: "SELECT living, building, last FROM generations WHERE one = 1",
		&s.point:   "UPDATE generations SET living = ?, building = ?, last = ? WHERE one = 1",
		&s.insert: `INSERT INTO items (generation, type, id, event, created, digest, data, extra, city, country, machine, kind)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (generation, type, id) DO NOTHING`,
		&s.digest: "SELECT digest FROM items WHERE generation = ? AND type = ? AND id = ?",
		&s.count: `INSERT INTO demand (generation, country, city, drink, shown_country, shown_city, shown_drink, count)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count`,
		&s.claim: `INSERT INTO claims (id, owner, until, done) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until, done = excluded.done`,
		&s.claimed: "SELECT until, done FROM claims WHERE id = ?",
		&s.release: "DELETE FROM claims WHERE id = ? AND owner = ? AND done = 0",
		&s.dropItems: `DELETE FROM items WHERE rowid IN
			(SELECT rowid FROM items INDEXED BY items_id WHERE generation = ? LIMIT ?)`,
		&s.dropDemand: `DELETE FROM demand WHERE generation = ?1 AND (country, city, drink) IN
			(SELECT country, city, drink FROM demand WHERE generation = ?1 LIMIT ?2)`,
	} {
		var err error
		if *stmt, err = conn.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // close does it
			return err
		}
		s.all = append(s.all, *stmt)
	}
	return nil
}

// close lets go of the connection: database/sql does not when the statements are of one connection.
func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}

// tx is a transaction for writing. Its errors have a kind if they are a job's own doing, and none if SQLite failed.
type tx struct {
	stmt    *statements
	at      pointer
	read    bool
	wishes  []wish // demand to be counted before the commit: many items of a batch ask for the same
	indices map[wishKey]int
}

// pointer says which generations there are. It is read inside the transaction that relies on it.
type pointer struct{ living, building, last int }

type wishKey struct {
	generation int
	store.DemandKey
}

type wish struct {
	wishKey
	shown store.Demand
}

func (t *tx) pointer() (pointer, error) {
	if !t.read {
		if err := t.stmt.pointer.QueryRow().Scan(&t.at.living, &t.at.building, &t.at.last); err != nil {
			return pointer{}, err
		}
		t.read = true
	}
	return t.at, nil
}

func (t *tx) point(to pointer) error {
	_, err := t.stmt.point.Exec(to.living, to.building, to.last)
	t.at, t.read = to, err == nil
	return err
}

// keep adds the item to a generation, by the rules of Put.
func (t *tx) keep(generation int, r *row) error {
	r.values[0] = generation
	result, err := t.stmt.insert.Exec(r.values[:]...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return t.compare(r)
	}
	for _, w := range r.wishes {
		t.wish(generation, w)
	}
	return nil
}

// compare tells a repeat (nil) from a conflict.
func (t *tx) compare(r *row) error {
	var kept sql.RawBytes
	rows, err := t.stmt.digest.Query(r.values[:3]...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return errRowGone(rows.Err())
	}
	if err := rows.Scan(&kept); err != nil {
		return err
	}
	if string(kept) != string(r.digest[:]) {
		return store.OtherContent(r.eventType, r.id)
	}
	return nil
}

func (t *tx) wish(generation int, w store.Wish) {
	key := wishKey{generation, w.DemandKey}
	if i, ok := t.indices[key]; ok {
		t.wishes[i].shown.Count += w.Shown.Count
		return
	}
	if t.indices == nil {
		t.indices = make(map[wishKey]int)
	}
	t.indices[key] = len(t.wishes)
	t.wishes = append(t.wishes, wish{key, w.Shown})
}

// count writes the demand of the items that were kept.
func (t *tx) count() error {
	for _, w := range t.wishes {
		_, err := t.stmt.count.Exec(w.generation, w.Country, w.City, w.Drink, w.shown.Country, w.shown.City, w.shown.Drink, w.shown.Count)
		if err != nil {
			return err
		}
	}
	return nil
}
