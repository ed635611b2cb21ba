package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// flush brings every file written since then down to the disk, and the names
// of new ones. kfake syncs nothing of a log unless SyncWrites is on, not even
// on close (closeActiveFiles), whatever its documentation says.
func flush(dir string, since time.Time) error {
	since = since.Add(-time.Minute) // file times are coarse
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil || info.ModTime().Before(since) {
			return err
		}
		how := os.O_RDWR
		if e.IsDir() {
			if runtime.GOOS == "windows" {
				return nil // cannot sync a directory
			}
			how = os.O_RDONLY
		}
		f, err := os.OpenFile(path, how, 0)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
