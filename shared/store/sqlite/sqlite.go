// Package sqlite keeps the read model in one SQLite file and the delivery claims in another, by a driver in pure Go: for
// one machine, without a server.
//
// Guarantees beyond the contract in package store:
//
//   - A file may be open in several processes at once, such as an API and a worker.
//   - What a write acknowledges survives a killed process. An effect that is completed or has failed survives a power failure
//     too, and so does an item once [Store.Advance] has returned nil after it, as far as the disk keeps its own promise. Events
//     of items that a power failure takes are not committed yet and come again.
//   - Concurrent writes share transactions; a lone write waits for nothing but itself.
//
// Caveats: SQLite's write-ahead log needs a local file system, never a network one. The files beside it, with the same name
// and -wal or -shm at the end, belong to it: copy a closed store, or by SQLite's own backup. A process must not open and
// close the file by other means while it is open here: that drops SQLite's locks (POSIX).
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	lib "modernc.org/sqlite/lib"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// readModel: columns that lists are filtered by hold folded text, NULL where there is none. items keeps its rowid: rows are
// large, and appending them is cheaper than sorting them into a tree.
var readModel = kind{what: "the read model", application: 0x53697045, version: 2, tables: `
CREATE TABLE IF NOT EXISTS items (
	type       TEXT NOT NULL,
	id         TEXT NOT NULL,
	event      TEXT NOT NULL,
	created    INTEGER NOT NULL, -- milliseconds of Unix time
	digest     BLOB NOT NULL,
	data       TEXT NOT NULL,
	extra      TEXT, -- unused; earlier versions read it
	city       TEXT,
	country    TEXT,
	machine    TEXT,
	kind       TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS items_id ON items (type, id);
CREATE INDEX IF NOT EXISTS items_all ON items (type, created DESC, id DESC);
CREATE INDEX IF NOT EXISTS items_city ON items (type, city, created DESC, id DESC) WHERE city IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_country ON items (type, country, created DESC, id DESC) WHERE country IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_machine ON items (type, machine, created DESC, id DESC) WHERE machine IS NOT NULL;
CREATE INDEX IF NOT EXISTS items_kind ON items (type, kind, created DESC, id DESC) WHERE kind IS NOT NULL;
CREATE TABLE IF NOT EXISTS demand (
	country       TEXT NOT NULL, -- folded, as city and drink
	city          TEXT NOT NULL,
	drink         TEXT NOT NULL,
	shown_country TEXT NOT NULL,
	shown_city    TEXT NOT NULL,
	shown_drink   TEXT NOT NULL,
	count         INTEGER NOT NULL,
	PRIMARY KEY (country, city, drink)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS demand_city ON demand (city, country, drink);
CREATE TABLE IF NOT EXISTS marks (
	topic     TEXT NOT NULL,
	partition INTEGER NOT NULL,
	held      INTEGER NOT NULL,
	committed INTEGER NOT NULL,
	PRIMARY KEY (topic, partition)
) WITHOUT ROWID
`, outdated: func(path string) string {
	return fmt.Sprintf("nothing is lost, it can be built again from the topics: "+
		"run `sipeat rebuild --data %s` if `sipeat serve` wrote it, "+
		"otherwise `sipeat rebuild --store NEW.db`", filepath.Dir(path))
}}

// Store is a read model in one file.
type Store struct{ *file }

// Open opens the read model at path and creates it if there is none, in a folder that must exist, readable by this user alone.
func Open(ctx context.Context, path string) (*Store, error) {
	f, err := openFile(ctx, readModel, path, lockTimeout)
	if err != nil {
		return nil, err
	}
	return &Store{file: f}, nil
}

// Ping implements [store.Store].
func (s *Store) Ping(ctx context.Context) error {
	marks, err := s.Marks(ctx)
	return cmp.Or(err, marks.Check())
}

// Advance implements [store.Marker]. Items that were put before are on the disk when it returns nil, and only then: a wait for
// the disk at each commit of offsets is much less than one at each item.
func (s *Store) Advance(ctx context.Context, topic string, from, to map[int32]int64) error {
	return s.do(ctx, true, func(t *tx) error {
		marks := store.Marks{}
		err := t.each(context.Background(), selectMarks+" WHERE topic = ?", []any{topic}, scanMark(marks))
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
		return t.exec(fmt.Sprintf("PRAGMA user_version = %d", s.version)) // only a commit that changes something is synced
	})
}

// Marks implements [store.Marker].
func (s *Store) Marks(ctx context.Context) (store.Marks, error) {
	marks := store.Marks{}
	err := s.each(ctx, selectMarks, nil, scanMark(marks))
	return marks, err
}

const selectMarks = "SELECT topic, partition, held, committed FROM marks"

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

// Inspect reads the version and the marks of a read model that another process may be building, without changing it. A file that
// is no read model is NotFound.
func Inspect(ctx context.Context, path string) (version int, marks store.Marks, err error) {
	f := &file{kind: readModel, path: path}
	db, err := connect(path, "busy_timeout(1000)") // it may write: the last connection that is closed moves the log into the file
	if err != nil {
		return 0, nil, f.fault(ctx, err)
	}
	defer db.Close()
	var application int
	err = db.QueryRowContext(ctx, "SELECT (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_user_version)").
		Scan(&application, &version)
	switch {
	case code(err) == lib.SQLITE_NOTADB || err == nil && application != f.application:
		err = events.Errorf(events.NotFound, "%s is no read model", path)
	case err == nil && version != f.version:
		err = events.Errorf(events.Unavailable, "its tables are of version %d, and those of this program of %d", version, f.version)
	case err == nil:
		marks = store.Marks{}
		err = (&statements{of: db}).each(ctx, selectMarks, nil, scanMark(marks))
	}
	return version, marks, f.fault(ctx, err)
}

// Version is that of the tables that this program reads and writes.
func Version() int { return readModel.version }

// Remove deletes a closed read model, if there is one.
func Remove(path string) error { return remove(path, path+"-wal", path+"-shm") }

func remove(paths ...string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Replace moves a closed read model to the path of another one, which may be damaged or of an older version, and takes its
// place. A process that is killed meanwhile leaves the one or the other. No other process may have the other open.
func Replace(ctx context.Context, from, to string) error {
	if _, err := os.Stat(from + "-wal"); err == nil { // SQLite does not report that it could not move the log into the file
		return events.Errorf(events.Unavailable, "the read model %s is not whole without its log %s-wal, so it has not replaced %s: "+
			"the disk may have been full, or another program has it open", from, from, to)
	}
	if db, err := connect(to); err == nil {
		// The log of the other file would be applied to the new one: it goes into its own first, if that can be read.
		_, _ = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
		_ = db.Close()
	}
	if err := errors.Join(remove(to+"-wal", to+"-shm"), os.Rename(from, to)); err != nil {
		return events.Wrap(events.Unavailable, err, "the read model %s cannot be moved to %s", from, to)
	}
	if folder, err := os.Open(filepath.Dir(to)); err == nil {
		defer folder.Close()
		_ = folder.Sync() // not every system can; the file itself is on the disk
	}
	return nil
}
