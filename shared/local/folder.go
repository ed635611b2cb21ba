package local

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// MakePrivate creates a data folder and makes it accessible to its owner only, because it holds personal data.
// A power cut does not remove a new one: the folders above it are synced.
func MakePrivate(dir string, log *slog.Logger) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if above, err := os.Open(filepath.Dir(d)); err == nil {
			_ = above.Sync() // not every system can
			_ = above.Close()
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		log.Warn("other users can access the data", "path", dir, "error", err)
		return nil
	}
	log.Warn("other users could access the data folder; it is private now", "path", dir, "mode", info.Mode().String())
	return nil
}

// maxLog is the size from which to open the log takes seconds.
const maxLog = 1 << 30

// CheckLog returns an error if the log of the broker in a folder has become large.
func CheckLog(dir string) error {
	files, err := fs.Glob(os.DirFS(dir), "partitions/*/*.dat")
	size := int64(0)
	for _, name := range files {
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil {
			size += info.Size()
		}
	}
	if err == nil && size >= maxLog {
		err = fmt.Errorf("the embedded broker's log has %d MB: each start reads all of it", size/1_000_000)
	}
	return err
}

// minFree is how much space writing an event may take: the largest record, its copies in the read model and its journal.
const minFree = 4 << 20

// CheckDisk returns an error if the folder cannot be written to, or if its disk is so full that the broker and the read model may
// fail to write an event. It writes a file of that size for a moment, because also a quota may refuse it.
func CheckDisk(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err == nil {
		_, err = f.Write(make([]byte, minFree))
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("disk full: no %d MiB free in %s", minFree>>20, dir)
	case err != nil:
		return fmt.Errorf("data folder is not writable: %w", err)
	}
	return nil
}
