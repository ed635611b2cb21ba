package local

import (
	"fmt"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockName is never removed: one process could lock the removed file and another its successor.
const lockName = "broker.lock"

// lockDir locks the folder until the process ends.
func lockDir(dir string) (*flock.Flock, error) {
	l := flock.New(filepath.Join(dir, lockName))
	held, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("local broker: lock folder %s: %w", dir, err)
	}
	if !held {
		return nil, fmt.Errorf("local broker: %w: %s (stop it, connect to its broker, or choose another folder)", ErrLocked, dir)
	}
	return l, nil
}
