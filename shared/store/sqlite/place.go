package sqlite

import (
	"os"

	"github.com/sipeat/sipeat/shared/events"
)

// place is where the file is that was opened. A file that is deleted or moved stays open, and what is written to it nobody
// else will read; so that is an outage, until the program is started again or the file is back.
type place struct {
	path   string
	opened os.FileInfo
}

func placeOf(path string) (place, error) {
	info, err := os.Stat(path)
	if err != nil {
		return place{}, events.Wrap(events.Unavailable, err, "the read model %s cannot be looked at", path)
	}
	return place{path, info}, nil
}

func (p place) check() error {
	if now, err := os.Stat(p.path); err != nil || !os.SameFile(now, p.opened) {
		return events.Errorf(events.Unavailable, "the read model %s was deleted or moved while it was open: start this program again", p.path)
	}
	return nil
}
