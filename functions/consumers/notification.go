package consumers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// OnNotification handles notification: it can be queried, and is delivered by every channel.
type OnNotification struct {
	Consumers
	// sent are claims that this process could not complete after it sent the message, which it does not send again. They are
	// few, because without the store nothing is claimed and sent.
	sent sync.Map
}

func (h *OnNotification) Project(ctx context.Context, e events.Event[events.Notification]) error {
	return project(ctx, h.Consumers, e, store.Labels{Type: e.Data.Type})
}

// React delivers by all channels, each with its own claim: a retry reaches only the channels that failed. An event that is
// older than claims are kept is not delivered: it may have been, before the offsets of the group were reset.
func (h *OnNotification) React(ctx context.Context, e events.Event[events.Notification]) error {
	if tooOld(ctx, h.Consumers, e) {
		return nil
	}
	message := notify.Message{
		ID: e.ResourceID(), EventID: e.ID, Type: e.Data.Type, SubjectID: e.Data.SubjectID,
		Recipient: e.Data.RecipientEmail, Text: e.Data.Message,
	}
	return h.Notifier.Each(func(c notify.Channel) error { return h.deliver(ctx, c, message) })
}

// deliver claims the message, sends it and completes the claim. If the process ends between sending and completing, the
// message is sent again once the lease has ended: twice is better than never.
func (h *OnNotification) deliver(ctx context.Context, c notify.Channel, m notify.Message) error {
	key := [2]string{m.ID, c.Name}
	if _, sent := h.sent.Load(key); !sent {
		if delivered, err := h.send(ctx, c, m); delivered || err != nil {
			return err
		}
		h.sent.Store(key, true)
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	if err := h.Claims.Complete(ctx, m.ID, c.Name); err != nil {
		return err
	}
	// failpoint: completed m.EventID
	h.sent.Delete(key)
	return nil
}

// send claims the message and sends it, unless it was delivered before.
func (h *OnNotification) send(ctx context.Context, c notify.Channel, m notify.Message) (delivered bool, err error) {
	claim, left, err := h.Claims.Claim(ctx, m.ID, c.Name, lease(ctx))
	// failpoint: claimed m.EventID
	switch {
	case err != nil:
		return false, err
	case claim == store.Done:
		return true, nil
	case claim == store.Held:
		return false, &events.Error{Kind: events.Unavailable, RetryAfter: left,
			Message: "another consumer is sending notification " + events.LogID(m.ID) + ", or ended while sending it"}
	}
	// failpoint: effect-begun m.EventID
	err = c.Notify(ctx, m)
	if err == nil {
		// failpoint: effect-done m.EventID
		return false, nil
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	if releaseErr := h.Claims.Release(ctx, m.ID, c.Name); releaseErr != nil {
		// As text: the kind of the error is the notifier's.
		return false, fmt.Errorf("%w (the claim is kept until its lease ends: %s)", err, releaseErr.Error())
	}
	return false, err
}

// settle is the time to update a claim, even after the deadline; less than the engine's grace of 4 s.
func settle(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
}

// lease is as long as this handler may take, and 5 s more.
func lease(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), 0) + 5*time.Second
	}
	return time.Minute
}
