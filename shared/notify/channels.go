package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sipeat/sipeat/shared/events"
)

// Channel is a named notifier. Deliveries are claimed by channel, so a retry reaches only the channels that failed.
type Channel struct {
	Name string // log, smtp, ses or discord
	Notifier
}

// Channels deliver the same message, each in its own way.
type Channels []Channel

// Notify delivers by every channel. Repeated after a partial failure it delivers again by the others too; callers that must
// not repeat use [Each].
func (c Channels) Notify(ctx context.Context, m Message) error {
	return Each(c, func(channel Channel) error { return channel.Notify(ctx, m) })
}

// Each calls do for every channel of n at the same time, so that a hanging channel delays no other; a notifier that is no
// [Channels] is one channel without a name. It returns when all calls have, and panics if one did.
//
// The error's kind is that of the failure most worth retrying: Unavailable before unknown before Invalid. So a message that
// one channel refuses for good is not given up while another channel is down.
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
	return join(channels, failures)
}

var errExited = errors.New("the notifier ended its goroutine (runtime.Goexit)")

func join(channels Channels, failures []error) error {
	var failed several
	result := &events.Error{Kind: events.Invalid, EventOnly: true}
	for i, err := range failures {
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("%s: %w", channels[i].Name, err))
		switch k := events.KindOf(err); {
		case k == events.Unavailable:
			result.Kind = k
			if e, ok := errors.AsType[*events.Error](err); ok {
				result.RetryAfter = max(result.RetryAfter, e.RetryAfter)
				result.EventOnly = result.EventOnly && e.EventOnly
			}
		case k != events.Invalid && result.Kind == events.Invalid:
			result.Kind = events.Unknown
		}
	}
	if len(failed) == 0 {
		return nil
	}
	result.EventOnly = result.EventOnly && result.Kind == events.Unavailable
	result.Err, result.Message = failed, fmt.Sprintf("%d of %d channels failed", len(failed), len(channels))
	return result
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
