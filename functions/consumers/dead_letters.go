package consumers

import (
	"context"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// DeadLetters is next, and notes of a rejected notification which channels failed to deliver it, and why.
func (c Consumers) DeadLetters(next bus.DeadLetters) bus.DeadLetters { return failed{c, next} }

type failed struct {
	Consumers
	next bus.DeadLetters
}

func (f failed) Write(ctx context.Context, d bus.DeadLetter) error {
	// A conflict is rejected for its id, which is another notification's.
	if d.Record.Topic == (events.Notification{}).Topic() && d.Class != bus.Conflicting {
		if e, err := events.Decode[events.Notification](d.Record.Value); err == nil {
			if err := f.note(ctx, e.ResourceID(), d.Class); err != nil {
				return err
			}
		}
	}
	return f.next.Write(ctx, d)
}

// note marks the channels as failed that have not delivered the notification. One that another process is sending by is left
// to that process.
func (f failed) note(ctx context.Context, id string, class bus.Class) error {
	return f.Notifier.Each(func(c notify.Channel) error {
		claim, _, err := f.Claims.Claim(ctx, id, c.Name, lease(ctx))
		if err == nil && claim == store.Claimed {
			ctx, cancel := settle(ctx) // a claim that is left behind holds up the next owner of the partition until its lease ends
			defer cancel()
			err = f.Claims.Fail(ctx, id, c.Name, string(class))
		}
		if events.KindOf(err) == events.Invalid { // an id that no claim can have
			return nil
		}
		return err
	})
}
