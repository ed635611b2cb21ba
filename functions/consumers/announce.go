package consumers

import (
	"context"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
)

// announce publishes the notification that follows from an event, unless the event's producer announces its own. Its id
// derives from the event, so that however often the event is handled people are told once.
//
// The event was read from a topic, where anything may stand. What a notification may not hold is cleaned or left out: an
// event that was accepted is never refused for what is said about it.
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
		notification.SubjectID = "" // another producer's id can be longer than ours, or have spaces
		event, err = events.Make(c.Events, notification, events.CausedBy(cause, "notification"))
	}
	if err != nil {
		return err
	}
	_, err = c.Publisher.Publish(ctx, event)
	return err
}

// maxSentence keeps an announcement within what a notification may be.
const maxSentence = 1000

// sentence joins what is not empty to one line.
func sentence(parts []string) string {
	said := slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return strings.TrimSpace(s) == "" })
	return events.OneLine(strings.Join(said, " "), maxSentence)
}
