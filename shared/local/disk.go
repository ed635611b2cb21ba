package local

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// minFree is how much space writing an event may take: the largest record,
// its copies in the read model and its journal.
const minFree = 4 << 20

// CheckDisk returns an error if the folder cannot be written to, or if its disk
// is so full that the broker and the read model may fail to write an event.
func CheckDisk(dir string) error {
	err := probe(dir)
	free, known := freeSpace(dir)
	switch full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT); {
	case full && !known:
		return fmt.Errorf("disk full: no space left in %s", dir)
	case full || known && free < minFree:
		return fmt.Errorf("disk full: %d bytes free in %s, %d needed", free, dir, minFree)
	case err != nil:
		return fmt.Errorf("data folder is not writable: %w", err)
	}
	return nil
}

// probe writes a small file, which also a quota or a disk that is mounted read-only may refuse.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4<<10))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}
