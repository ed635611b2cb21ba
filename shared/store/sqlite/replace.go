package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Remove deletes a closed read model, if there is one.
func Remove(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
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
			return f.opening(err)
		}
		var busy, log, moved int
		err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
		if err = errors.Join(err, db.Close()); busy != 0 || locked(err) {
			return events.Errorf(events.Unavailable, "%s %s is open in another process: stop that, and run this again", f.what, to)
		}
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(to + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return f.opening(err)
		}
	}
	if err := os.Rename(from, to); err != nil {
		return events.Wrap(events.Unavailable, err, "%s %s cannot be moved to %s", f.what, from, to)
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return f.opening(err)
	}
	defer folder.Close()
	_ = folder.Sync() // not every system can; the file itself is on the disk
	return nil
}

// channels are those by which version 1 ended the id of a claim.
var channels = []string{"log", "smtp", "ses", "discord"}

// Adopt takes over the deliveries from a read model of version 1, which kept the claims. Of another file it does nothing.
func (c *Claims) Adopt(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil // there is none
	}
	old := &file{kind: readModel, path: path}
	db, err := connect(path, "query_only(1)")
	if err != nil {
		return old.opening(err)
	}
	defer db.Close()
	var application, tables int
	err = db.QueryRowContext(ctx, `SELECT (SELECT * FROM pragma_application_id),
		(SELECT count(*) FROM sqlite_schema WHERE name = 'claims')`).Scan(&application, &tables)
	if err != nil || application != readModel.application || tables == 0 {
		return nil // it is no read model, or holds no claims
	}
	rows, err := db.QueryContext(ctx, "SELECT id FROM claims WHERE done = 1")
	if err != nil {
		return old.opening(err)
	}
	defer rows.Close()
	var delivered [][2]string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return old.opening(err)
		}
		id = strings.TrimPrefix(id, "notification/")
		end := strings.LastIndexByte(id, '/')
		channel := id[end+1:]
		if end < 0 || !slices.Contains(channels, channel) {
			end, channel = len(id), ""
		}
		delivered = append(delivered, [2]string{id[:end], channel})
	}
	if err := rows.Err(); err != nil {
		return old.opening(err)
	}
	now := c.clock().UnixMilli()
	return c.do(ctx, func(t *tx) error {
		for _, d := range delivered {
			if _, err := t.exec(`INSERT INTO claims (id, channel, state, owner, until, at, class, changed) VALUES (?, ?, ?, ?, 0, ?, '', ?)
				ON CONFLICT DO NOTHING`, d[0], d[1], store.Delivered, c.owner, now, now); err != nil {
				return err
			}
		}
		return nil
	})
}
