package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// OnNotification handles notification: it can be asked for, and people are told.
type OnNotification struct{ Consumers }

func (h OnNotification) Project(ctx context.Context, e events.Event[events.Notification]) error {
	return project(ctx, h.Consumers, e, store.Labels{Type: e.Data.Type})
}

// React tells people by every channel there is, each with a claim of its own: what comes again, because one of them failed,
// goes to that one alone.
func (h OnNotification) React(ctx context.Context, e events.Event[events.Notification]) error {
	message := notify.Message{
		ID: e.ResourceID(), EventID: e.ID, Type: e.Data.Type, SubjectID: e.Data.SubjectID,
		Recipient: e.Data.RecipientEmail, Text: e.Data.Message,
	}
	return notify.Each(h.Notifier, func(c notify.Channel) error {
		return h.tell(ctx, c, message, c.Name)
	})
}

// tell claims the message, sends it and marks it as sent. A crash between sending and marking sends it again once the
// lease is over: a message twice is better than none.
func (h OnNotification) tell(ctx context.Context, n notify.Notifier, m notify.Message, channel string) error {
	switch claim, left, err := h.Claims.Claim(ctx, m.ID, channel, lease(ctx)); {
	case err != nil:
		return err
	case claim == store.Done:
		return nil
	case claim == store.Held:
		return &events.Error{Kind: events.Unavailable, RetryAfter: left, Message: "another consumer is sending notification " + events.LogID(m.ID) + ", or was ended meanwhile"}
	}
	err := n.Notify(ctx, m)
	// Whatever the deadline says by now, what became of the message is written down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), toTell)
	defer cancel()
	if err == nil {
		return h.Claims.Complete(ctx, m.ID, channel)
	}
	if released := h.Claims.Release(ctx, m.ID, channel); released != nil {
		// By its text alone: the kind of the error is the notifier's.
		return fmt.Errorf("%w (and the claim is kept until its lease ends: %s)", err, released.Error())
	}
	return err
}

const (
	toTell = 3 * time.Second // what marking may take beyond the deadline; less than the engine's grace of 5 s
	beyond = 5 * time.Second // what a lease lasts beyond the deadline
)

// lease is as long as this handler may take, and a little more.
func lease(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), 0) + beyond
	}
	return time.Minute
}
