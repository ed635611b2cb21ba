package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	driver "modernc.org/sqlite"

	"github.com/sipeat/sipeat/shared/events"
)

// prepare opens the file for writing and brings its schema up to date.
func prepare(ctx context.Context, path string, relaxed bool) (*sql.DB, error) {
	made, err := look(path)
	if err != nil {
		return nil, err
	}
	sync := []string{"synchronous(full)", "fullfsync(1)"} // fullfsync: macOS's fsync stops short of the disk
	if relaxed {
		sync = []string{"synchronous(normal)"}
	}
	db, err := connect(path, append(sync, "cache_size(-32768)", "temp_store(memory)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)")...)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := set(ctx, db, path, made); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func set(ctx context.Context, db *sql.DB, path string, made bool) error {
	if err := patiently(ctx, openPatience, func() error { return db.PingContext(ctx) }); err != nil {
		return opening(path, err)
	}
	if made {
		// It holds names and addresses. By name: closing a descriptor of the file would drop SQLite's locks.
		if err := os.Chmod(path, 0o600); err != nil {
			return events.Wrap(events.Unavailable, err, "the read model %s cannot be made private", path)
		}
	}
	return migrate(ctx, db, path)
}

// look finds the mistakes in a path that SQLite only calls "unable to open".
func look(path string) (made bool, err error) {
	if path == "" || path == ":memory:" {
		return false, events.Errorf(events.Unavailable, "the read model needs the path of a file, not %q", path)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return false, events.Errorf(events.Unavailable, "the read model %s is no file: give the path of a file in a folder", path)
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, events.Wrap(events.Unavailable, err, "the read model %s cannot be looked at", path)
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return false, events.Errorf(events.Unavailable, "the folder %s of the read model is not there: make it, or give another path", folder)
	}
	return true, nil
}

// connect makes a pool of connections, each with these pragmas.
func connect(path string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, events.Wrap(events.Unavailable, err, "the read model %s cannot be found", path)
	}
	name := filepath.ToSlash(abs)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // a Windows drive
	}
	q := url.Values{"_pragma": pragmas, "_busy_timeout": {"10000"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	c, err := driver.NewConnector((&url.URL{Scheme: "file", Path: name, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, events.Wrap(events.Unavailable, err, "the read model %s cannot be opened", path)
	}
	return sql.OpenDB(c), nil
}
