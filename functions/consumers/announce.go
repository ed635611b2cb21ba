package consumers

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// announce publishes the notification of an event, unless the event's producer announces its own. Its ids derive from the
// event's topic and resource: people are notified once however often the event is handled or the same statement is made. An event
// that is older than claims are kept is not announced, because its notification would be a new event, and be delivered again.
//
// The event may hold anything that another program wrote. What a notification must not contain is cleaned or left out, so that
// no accepted event is rejected for its notification.
func announce[T events.Payload](ctx context.Context, c Consumers, cause events.Event[T], subject string, text ...string) error {
	if slices.Contains(c.AnnouncedBy, cause.Metadata.Producer) || tooOld(ctx, c, cause) {
		return nil
	}
	notification := events.Notification{
		Base: events.Base{Timestamp: cause.Data.HappenedAt()},
		Notice: events.Notice{Type: subject, SubjectID: cause.ResourceID(),
			Message: events.OneLine(strings.Join(text, " "), maxMessage)}, // which leaves out empty parts
	}
	event, err := events.Make(c.Events, notification, events.CausedBy(cause, "notification"))
	if events.KindOf(err) == events.Invalid {
		notification.SubjectID = "" // another producer's id may be too long or have spaces
		event, err = events.Make(c.Events, notification, events.CausedBy(cause, "notification"))
	}
	if err != nil {
		return err
	}
	// failpoint: effect-begun cause.ID
	if _, err = c.Publisher.Publish(ctx, event); err != nil {
		return err
	}
	// failpoint: effect-done cause.ID
	return nil
}

// tooOld reports whether the claims of the event's deliveries may be gone.
func tooOld[T events.Payload](ctx context.Context, c Consumers, e events.Event[T]) bool {
	made := e.Metadata.Timestamp
	if made.IsZero() || c.now().Sub(made.Time()) <= store.ClaimsKept {
		return false
	}
	slog.WarnContext(ctx, "event is too old to notify anyone", "event_id", events.LogID(e.ID), "created", made.String())
	return true
}

// maxMessage is in characters, less than a notification may have.
const maxMessage = 1000
