package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

type kind struct {
	what        string // in error texts
	application int    // PRAGMA application_id, so that another program's database is never written to
	version     int    // PRAGMA user_version; it grows when tables change
	tables      string
	outdated    func(path string) string // what to do about a file of an older version
}

// file is an open SQLite file: a writer, and connections that cannot write. Each query is one statement, so it reads one
// snapshot.
type file struct {
	kind
	path    string
	opened  os.FileInfo
	readers *sql.DB
	queries statements // of readers
	close   func() error
	*writer

	lockTimeout time.Duration
}

func openFile(ctx context.Context, k kind, path string, lockTimeout time.Duration) (*file, error) {
	f := &file{kind: k, path: path, lockTimeout: lockTimeout}
	f.what += " " + path // until it is open: later errors reach callers of the API
	// It holds names and addresses. This fails if there is one, or SQLite says why it cannot be opened.
	if created, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		_ = created.Close()
	}
	db, err := connect(path, "synchronous(normal)", "fullfsync(1)", // macOS's fsync stops short of the disk
		"busy_timeout(0)", "cache_size(-32768)", "temp_store(memory)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
	if err == nil {
		f.readers, err = connect(path, "busy_timeout(10000)", "query_only(1)", "cache_size(-8192)")
	}
	if err != nil {
		return nil, f.fault(ctx, err)
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	f.queries.of = f.readers
	f.readers.SetMaxOpenConns(n)
	f.readers.SetMaxIdleConns(n)
	var conn *sql.Conn
	err = f.whileLocked(ctx, func() (err error) {
		if conn == nil {
			if conn, err = db.Conn(ctx); err != nil {
				return err
			}
		}
		return f.prepare(ctx, conn)
	})
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, errors.Join(f.fault(ctx, err), f.readers.Close(), db.Close())
	}
	f.what = k.what
	f.writer = &writer{file: f, tx: tx{conn: conn, statements: statements{of: conn}}, jobs: make(chan *job),
		quit: make(chan struct{}), ended: make(chan struct{})}
	go f.writer.loop()
	f.close = sync.OnceValue(func() error {
		close(f.writer.quit)
		<-f.writer.ended
		// The writer's connection is the last, because the last one moves the log into the file, and readers may not.
		return errors.Join(f.readers.Close(), f.writer.tx.close(), db.Close())
	})
	return f, nil
}

// Close commits what is under way, and closes the file.
func (f *file) Close() error { return f.close() }

// each runs a query and calls scan for each row.
func (f *file) each(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	err := cmp.Or(ctx.Err(), f.inPlace())
	if err == nil {
		err = f.queries.each(ctx, text, args, scan)
	}
	return f.fault(ctx, err)
}

// statements are those of a connection or of a pool, each prepared once, which takes longer than to read a row.
type statements struct {
	of interface {
		PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
	}
	byText sync.Map // *sql.Stmt
}

func (s *statements) get(ctx context.Context, text string) (*sql.Stmt, error) {
	if known, ok := s.byText.Load(text); ok {
		return known.(*sql.Stmt), nil
	}
	statement, err := s.of.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	first, lost := s.byText.LoadOrStore(text, statement)
	if lost {
		defer statement.Close()
	}
	return first.(*sql.Stmt), nil
}

func (s *statements) each(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	statement, err := s.get(ctx, text) //nolint:sqlclosecheck // closed with the connection or the pool
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// prepare makes the file one of its kind, or returns why it cannot. It changes nothing until the file is known to be ours.
func (f *file) prepare(ctx context.Context, conn *sql.Conn) (err error) {
	if err := f.schema(ctx, conn); err != nil {
		return err
	}
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA page_size = 8192; PRAGMA journal_mode = wal").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return events.Errorf(events.Unavailable, "%s needs a local file system: SQLite's write-ahead log does not work on this one",
			f.what)
	}
	if f.opened, err = os.Stat(f.path); err != nil {
		return err
	}
	// Always written, because SQLite opens a file without complaint that this user may not write.
	_, err = conn.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
		f.tables, f.application, f.version))
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// schema refuses a file that is neither empty nor one of this kind and version.
func (f *file) schema(ctx context.Context, conn *sql.Conn) error {
	var application, version, tables int
	err := conn.QueryRowContext(ctx, `SELECT (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&application, &version, &tables)
	switch {
	case err != nil || application == 0 && version == 0 && tables == 0:
		return err
	case application != f.application:
		return events.Errorf(events.Unavailable, "%s is a database of another program: give another path", f.what)
	case version < f.version:
		return events.Errorf(events.Unavailable, "%s was written by an older version of this program (schema %d, now %d): %s",
			f.what, version, f.version, f.outdated(f.path))
	case version > f.version:
		return events.Errorf(events.Unavailable, "%s was written by a newer version of this program: update this program", f.what)
	}
	return nil
}

// connect makes a pool of connections, each with these pragmas.
func connect(path string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": pragmas, "_dqs": {"0"}, "_error_rc": {"1"}}
	name := "file:" + (&url.URL{Path: filepath.ToSlash(filepath.Clean(path))}).EscapedPath()
	c, err := driver.NewConnector(name + "?" + q.Encode())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// inPlace fails if the file was deleted or moved since it was opened: it stays open, and what is written to it is lost.
// That is an outage until the program is started again or the file is back.
func (f *file) inPlace() error {
	if now, err := os.Stat(f.path); err != nil || !os.SameFile(now, f.opened) {
		return events.Wrap(events.Unavailable, errors.New(f.path), "%s was deleted or moved while it was open: restart this program",
			f.what)
	}
	return nil
}

func (f *file) fault(ctx context.Context, err error) error {
	return store.Fault(ctx, err, func() string { return f.what + " " + reason(err) })
}

func reason(err error) string {
	switch code(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return "is locked by another process"
	case lib.SQLITE_FULL:
		return "cannot be written: the disk is full"
	case lib.SQLITE_IOERR: // one is that the disk is too full to open the file
		return "cannot be read or written: the disk is full, or has a fault"
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		return "cannot be opened or written: it must be a file in a folder that exists, and this user needs the right to read " +
			"and write both"
	case lib.SQLITE_NOTADB:
		return "is not a SQLite database: give another path, or move the file away"
	case lib.SQLITE_CORRUPT:
		return "is damaged: stop all programs that use it and restore it from a copy, or (a read model) by `sipeat rebuild`"
	}
	return "failed"
}

// code is SQLite's primary result code; 0 if the error is not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func locked(err error) bool {
	c := code(err)
	return c == lib.SQLITE_BUSY || c == lib.SQLITE_LOCKED || c == lib.SQLITE_PROTOCOL
}
