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
