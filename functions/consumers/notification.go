package consumers

import (
	"context"
	"log/slog"
	"sync"

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
	if made := e.Metadata.Timestamp; !made.IsZero() && h.now().Sub(made.Time()) > store.ClaimsKept {
		slog.WarnContext(ctx, "notification is too old to deliver", "event_id", events.LogID(e.ID), "created", made.String())
		return nil
	}
	message := notify.Message{
		ID: e.ResourceID(), EventID: e.ID, Type: e.Data.Type, SubjectID: e.Data.SubjectID,
		Recipient: e.Data.RecipientEmail, Text: e.Data.Message,
	}
	return notify.Each(h.Notifier, func(c notify.Channel) error { return h.deliver(ctx, c, message) })
}
