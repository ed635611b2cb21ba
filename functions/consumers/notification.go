package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// OnNotification handles notification: it can be queried, and is delivered by every channel.
type OnNotification struct{ Consumers }

func (h OnNotification) Project(ctx context.Context, e events.Event[events.Notification]) error {
	return project(ctx, h.Consumers, e, store.Labels{Type: e.Data.Type})
}

// React delivers by all channels, each with a claim of its own: a retry reaches only the channels that failed. An event that is
// older than claims are kept is not delivered: it may have been, before the offsets of the group were reset.
func (h OnNotification) React(ctx context.Context, e events.Event[events.Notification]) error {
	now := time.Now
	if h.Events.Now != nil {
		now = h.Events.Now
	}
	if age := now().Sub(e.Metadata.Timestamp.Time()); age > store.ClaimsKept && !e.Metadata.Timestamp.IsZero() {
		slog.WarnContext(ctx, "notification is too old to deliver", "event_id", events.LogID(e.ID), "age", age)
		return nil
	}
	message := notify.Message{
		ID: e.ResourceID(), EventID: e.ID, Type: e.Data.Type, SubjectID: e.Data.SubjectID,
		Recipient: e.Data.RecipientEmail, Text: e.Data.Message,
	}
	return notify.Each(h.Notifier, func(c notify.Channel) error {
		return h.deliver(ctx, c, message)
	})
}

// deliver claims the message, sends it and completes the claim. If the process ends between sending and completing, the
// message is sent again once the lease has ended: twice is better than never.
func (h OnNotification) deliver(ctx context.Context, c notify.Channel, m notify.Message) error {
	if h.sent.has(m.ID, c.Name) {
		return h.complete(ctx, m.ID, c.Name)
	}
	switch claim, left, err := h.Claims.Claim(ctx, m.ID, c.Name, lease(ctx)); {
	case err != nil:
		return err
	case claim == store.Done:
		return nil
	case claim == store.Held:
		return &events.Error{Kind: events.Unavailable, RetryAfter: left,
			Message: "another consumer is sending notification " + events.LogID(m.ID) + ", or ended while sending it"}
	}
	err := c.Notify(ctx, m)
	// The claim is updated even if the deadline has passed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer cancel()
	if err == nil {
		h.sent.add(m.ID, c.Name)
		return h.complete(ctx, m.ID, c.Name)
	}
	if releaseErr := h.Claims.Release(ctx, m.ID, c.Name); releaseErr != nil {
		// As text: the kind of the error is the notifier's.
		return fmt.Errorf("%w (the claim is kept until its lease ends: %s)", err, releaseErr.Error())
	}
	return err
}

func (h OnNotification) complete(ctx context.Context, id, channel string) error {
	err := h.Claims.Complete(ctx, id, channel)
	if err == nil {
		h.sent.remove(id, channel)
	}
	return err
}

const (
	completeTimeout = 3 * time.Second // after the deadline; less than the engine's grace of 4 s
	leaseMargin     = 5 * time.Second // of a lease after the deadline
)

// lease is as long as this handler may take, and a little more.
func lease(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), 0) + leaseMargin
	}
	return time.Minute
}
