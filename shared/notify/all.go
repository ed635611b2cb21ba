package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Channel is a notifier by its name. The name is part of what is claimed for a message: who fails is told again, and who
// was told is not.
type Channel struct {
	Name string // log, smtp, ses or discord
	Notifier
}

// Channels tell the same people the same thing, each in its way.
type Channels []Channel

// All is a notifier that has delivered a message when every channel has.
func All(channels ...Channel) Channels { return channels }

// Notify tells all of them. Who repeats it after a failure tells those again that were told: [Each] is for who must not.
func (c Channels) Notify(ctx context.Context, m Message) error {
	return Each(c, func(channel Channel) error { return channel.Notify(ctx, m) })
}

// Each calls do for every channel that n has, for all at the same time, so that one that hangs takes no time from
// another; a notifier that is no [Channels] is one channel without a name. It returns when all have, and panics if one did.
//
// Of several failures the one that shall be tried again decides: Unavailable before unknown before Invalid. So a message
// that one channel refuses for good is not given up while another has yet to be told; the first is asked again meanwhile.
func Each(n Notifier, do func(Channel) error) error {
	channels, ok := n.(Channels)
	switch {
	case !ok:
		return do(Channel{Notifier: n})
	case len(channels) == 1:
		return do(channels[0])
	}
	failures := make([]error, len(channels))
	panics := make([]error, len(channels))
	var all sync.WaitGroup
	for i, c := range channels {
		failures[i] = errExited
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panics[i] = events.Recovered(p)
				}
			}()
			failures[i] = do(c)
		})
	}
	all.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return together(channels, failures)
}

var errExited = errors.New("it ended its goroutine (runtime.Goexit)")

func together(channels Channels, failures []error) error {
	var named []error
	kind, wait := events.Invalid, time.Duration(0)
	for i, err := range failures {
		if err == nil {
			continue
		}
		named = append(named, fmt.Errorf("%s: %w", channels[i].Name, err))
		switch k := events.KindOf(err); {
		case k == events.Unavailable:
			kind = k
			if e, ok := errors.AsType[*events.Error](err); ok {
				wait = max(wait, e.RetryAfter)
			}
		case k != events.Invalid && kind == events.Invalid:
			kind = events.Unknown
		}
	}
	if len(named) == 0 {
		return nil
	}
	return &events.Error{
		Kind: kind, RetryAfter: wait, Err: several(named),
		Message: fmt.Sprintf("%d of %d channels are not told", len(named), len(channels)),
	}
}

// several is more than one error in one line.
type several []error

func (s several) Error() string {
	texts := make([]string, len(s))
	for i, err := range s {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (s several) Unwrap() []error { return s }
