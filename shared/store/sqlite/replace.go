package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/sipeat/sipeat/shared/events"
)

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
	f := &file{kind: readModel, path: to}
	if _, err := os.Stat(to); err == nil {
		// The log of the other file would be applied to the new one: it goes into its own first.
		db, err := connect(to)
		if err != nil {
			return f.opening(ctx, err)
		}
		var busy, log, moved int
		err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
		if err = errors.Join(err, db.Close()); busy != 0 || locked(err) {
			return events.Errorf(events.Unavailable, "%s %s is open in another process: stop that, and run this again", f.what, to)
		}
	}
	if err := remove(to+"-wal", to+"-shm"); err != nil {
		return f.opening(ctx, err)
	}
	if err := os.Rename(from, to); err != nil {
		return events.Wrap(events.Unavailable, err, "%s %s cannot be moved to %s", f.what, from, to)
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return f.opening(ctx, err)
	}
	defer folder.Close()
	_ = folder.Sync() // not every system can; the file itself is on the disk
	return nil
}
