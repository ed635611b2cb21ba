package local

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// MakePrivate creates a data folder and makes it and its content accessible to its owner only, because it holds personal
// data. It warns about files of another owner.
func MakePrivate(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil || e.Type()&fs.ModeSymlink != 0 || info.Mode().Perm()&0o077 == 0 {
			return err
		}
		if err := os.Chmod(path, info.Mode().Perm()&^0o077); err != nil {
			log.Warn("other users can access the data", "path", path, "error", err)
		} else if path == dir {
			log.Warn("other users could access the data folder; it is private now", "path", path, "mode", info.Mode().String())
		}
		return nil
	})
}
