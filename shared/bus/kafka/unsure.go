package kafka

import (
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// unsure keeps the letters that nobody waits for any more and that the client has not given up: they may still be written, or
// have been since.
type unsure struct {
	mu      sync.Mutex
	letters map[letterOf]letter
}

// letterOf is what makes two letters the same.
type letterOf struct {
	bus.Position
	consumer string
}

type letter struct {
	written <-chan written
	sent    time.Time
}

const (
	unsureFor  = 2 * abandonAfter // then what became of it is no longer of use
	unsureMany = 1024             // letters; one that is forgotten is written once more
)

func (u *unsure) keep(of letterOf, l letter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.letters == nil {
		u.letters = map[letterOf]letter{}
	}
	for other, l := range u.letters {
		if len(u.letters) >= unsureMany || time.Since(l.sent) > unsureFor {
			delete(u.letters, other)
		}
	}
	u.letters[of] = l
}

// take takes out a letter, so that one waits for it at a time; without a channel if there is none.
func (u *unsure) take(of letterOf) letter {
	u.mu.Lock()
	defer u.mu.Unlock()
	l := u.letters[of]
	delete(u.letters, of)
	if time.Since(l.sent) > unsureFor {
		return letter{}
	}
	return l
}
