package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
)

// applicationID marks the file as one of ours ("SipE"), so that another program's is never written to.
const applicationID = 0x53697045

// schema is the steps from an empty file to what this program needs; PRAGMA user_version counts those taken. A step
// once released stays as it is; changes are a new step at the end.
//
// Columns that lists are narrowed by hold folded text, NULL where there is none; extra holds labels and drinks as given.
// items keeps its rowid: rows are large, and appending them is cheaper than sorting them into a tree.
var schema = []string{`
CREATE TABLE generations (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	living   INTEGER NOT NULL,
	building INTEGER NOT NULL,
	last     INTEGER NOT NULL
);
INSERT INTO generations VALUES (1, 1, 0, 1);
CREATE TABLE items (
	generation INTEGER NOT NULL,
	type       TEXT NOT NULL,
	id         TEXT NOT NULL,
	event      TEXT NOT NULL,
	created    INTEGER NOT NULL, -- milliseconds of Unix time
	digest     BLOB NOT NULL,
	data       TEXT NOT NULL,
	extra      TEXT,
	city       TEXT,
	country    TEXT,
	machine    TEXT,
	kind       TEXT
);
CREATE UNIQUE INDEX items_id ON items (generation, type, id);
CREATE INDEX items_all ON items (generation, type, created DESC, id DESC);
CREATE INDEX items_city ON items (generation, type, city, created DESC, id DESC) WHERE city IS NOT NULL;
CREATE INDEX items_country ON items (generation, type, country, created DESC, id DESC) WHERE country IS NOT NULL;
CREATE INDEX items_machine ON items (generation, type, machine, created DESC, id DESC) WHERE machine IS NOT NULL;
CREATE INDEX items_kind ON items (generation, type, kind, created DESC, id DESC) WHERE kind IS NOT NULL;
CREATE TABLE demand (
	generation    INTEGER NOT NULL,
	country       TEXT NOT NULL, -- folded, as city and drink
	city          TEXT NOT NULL,
	drink         TEXT NOT NULL,
	shown_country TEXT NOT NULL,
	shown_city    TEXT NOT NULL,
	shown_drink   TEXT NOT NULL,
	count         INTEGER NOT NULL,
	PRIMARY KEY (generation, country, city, drink)
) WITHOUT ROWID;
CREATE INDEX demand_city ON demand (generation, city, country, drink);
CREATE TABLE claims (
	id    TEXT PRIMARY KEY,
	owner TEXT NOT NULL,
	until INTEGER NOT NULL, -- milliseconds of Unix time
	done  INTEGER NOT NULL
) WITHOUT ROWID;
`}

// migrate makes the file a read model of this program's version, or says why it cannot be one. Until it is known to be
// one of ours, nothing is changed.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	version, err := state(ctx, db, path)
	if err != nil {
		return err
	}
	if version == 0 {
		if err := patiently(ctx, openPatience, func() error { _, err := db.ExecContext(ctx, "PRAGMA page_size = 8192"); return err }); err != nil {
			return opening(path, err)
		}
	}
	var mode string
	err = patiently(ctx, openPatience, func() error { return db.QueryRowContext(ctx, "PRAGMA journal_mode = wal").Scan(&mode) })
	if err != nil {
		return opening(path, err)
	}
	if mode != "wal" {
		return events.Errorf(events.Unavailable, "the read model %s needs a local file system: SQLite's write-ahead log does not work on this one", path)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return opening(path, err)
	}
	defer conn.Close()
	if err := begin(ctx, conn, openPatience); err != nil {
		return opening(path, err)
	}
	if err := upgrade(ctx, conn, path); err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return opening(path, err)
	}
	return nil
}

// upgrade takes the missing steps. It looks again, inside the transaction: another process may have been first. If none
// is missing it still writes the version, because SQLite opens a file that it may not write without a word.
func upgrade(ctx context.Context, conn *sql.Conn, path string) error {
	version, err := state(ctx, conn, path)
	if err != nil {
		return err
	}
	steps := append([]string{}, schema[version:]...)
	steps = append(steps, fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", len(schema)), "COMMIT")
	for _, step := range steps {
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// state tells how many steps of the schema the file has.
func state(ctx context.Context, db querier, path string) (version int, err error) {
	var application, tables int
	ask := strings.Join([]string{"SELECT (SELECT * FROM pragma_application_id)", "(SELECT * FROM pragma_user_version)",
		"(SELECT count(*) FROM sqlite_schema)"}, ", ")
	err = patiently(ctx, openPatience, func() error { return db.QueryRowContext(ctx, ask).Scan(&application, &version, &tables) })
	switch {
	case err != nil:
		return 0, opening(path, err)
	case application == 0 && version == 0 && tables == 0:
		return 0, nil
	case application != applicationID:
		return 0, events.Errorf(events.Unavailable, "%s is a database of another program: give the read model another path", path)
	case version > len(schema):
		return 0, events.Errorf(events.Unavailable,
			"the read model %s was made by a newer version of this program (its schema is %d, this one knows %d): update this program, or give another path",
			path, version, len(schema))
	}
	return version, nil
}
