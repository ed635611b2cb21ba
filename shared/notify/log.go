package notify

import (
	"context"
	"log/slog"

	"github.com/sipeat/sipeat/shared/events"
)

// Log logs that there is a notification, and its ids. The text is about people and is not logged.
type Log struct{ Logger *slog.Logger }

func (l Log) Notify(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return unavailable(ctx.Err(), "not logged")
	}
	l.Logger.InfoContext(ctx, "notification", "type", m.subject(), "notification_id", events.LogID(m.ID),
		"subject_id", events.LogID(m.SubjectID), "event_id", events.LogID(m.EventID))
	return nil
}
