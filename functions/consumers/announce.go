package consumers

import (
	"context"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
)

// announce publishes the notification of an event, unless the event's producer announces its own. Its ids derive from the
// event's topic and resource: people are notified once however often the event is handled or the same statement is made.
//
// The event may hold anything that another program wrote. What a notification must not contain is cleaned or left out, so that
// no accepted event is rejected for its notification.
func announce[T events.Payload](ctx context.Context, c Consumers, cause events.Event[T], subject string, text ...string) error {
	if slices.Contains(c.AnnouncedBy, cause.Metadata.Producer) {
		return nil
	}
	notification := events.Notification{
		Base:   events.Base{Timestamp: cause.Data.HappenedAt()},
		Notice: events.Notice{Type: subject, Message: sentence(text), SubjectID: cause.ResourceID()},
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

// maxSentence is in characters, less than a notification may have.
const maxSentence = 1000

// sentence joins the parts that are not empty to one line.
func sentence(parts []string) string {
	parts = slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return strings.TrimSpace(s) == "" })
	return events.OneLine(strings.Join(parts, " "), maxSentence)
}
