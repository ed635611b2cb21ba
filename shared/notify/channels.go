package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sipeat/sipeat/shared/events"
)

// Channel is a named notifier. Deliveries are claimed by channel, so a retry reaches only the channels that failed.
type Channel struct {
	Name string // log, smtp, ses or discord
	Notifier
}

// Notify is the notifier's. A panic is an error, so that the caller gives back its claim.
func (c Channel) Notify(ctx context.Context, m Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = events.Recovered(p)
		}
	}()
	return c.Notifier.Notify(ctx, m)
}

// Channels deliver the same message, each in its own way.
type Channels []Channel

// Each calls do for every channel at the same time, so that a hanging channel delays no other. It returns when all calls have.
// Beside other channels, a panic is an error.
//
// The error's kind is that of the failure most worth retrying: Unavailable before unknown before Invalid. So a message that
// one channel refuses for good is not given up while another channel is down.
func (channels Channels) Each(do func(Channel) error) error {
	if len(channels) == 1 {
		return do(channels[0])
	}
	failures := make([]error, len(channels))
	var all sync.WaitGroup
	for i, c := range channels {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					failures[i] = events.Recovered(p)
				}
			}()
			failures[i] = do(c)
		})
	}
	all.Wait()
	return channels.join(failures)
}

func (channels Channels) join(failures []error) error {
	joined := &events.Error{Kind: events.Invalid, EventOnly: true}
	count := 0
	for i, err := range failures {
		if err == nil {
			continue
		}
		count++
		err = fmt.Errorf("%s: %w", channels[i].Name, err)
		if joined.Err == nil {
			joined.Err = err
		} else {
			joined.Err = fmt.Errorf("%w; %w", joined.Err, err)
		}
		kind := events.KindOf(err)
		if kind == events.Unavailable || kind == events.Unknown && joined.Kind == events.Invalid {
			joined.Kind = kind
		}
		if e, ok := errors.AsType[*events.Error](err); ok && kind == events.Unavailable {
			joined.RetryAfter = max(joined.RetryAfter, e.RetryAfter)
			joined.EventOnly = joined.EventOnly && e.EventOnly
		}
	}
	if count == 0 {
		return nil
	}
	joined.EventOnly = joined.EventOnly && joined.Kind == events.Unavailable
	joined.Message = fmt.Sprintf("%d of %d channels failed", count, len(channels))
	return joined
}
