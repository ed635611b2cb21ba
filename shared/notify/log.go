package notify

import (
	"context"
	"log/slog"

	"github.com/sipeat/sipeat/shared/events"
)

// Log tells people by the log: who runs the program sees that there is something to see, and where. What the message
// says is not logged, because it is about people.
type Log struct{ Logger *slog.Logger }

func (l Log) Notify(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return unavailable(ctx.Err(), "not logged")
	}
	l.Logger.InfoContext(ctx, "notification", "type", m.subject(), "notification_id", events.LogID(m.ID),
		"subject_id", events.LogID(m.SubjectID), "event_id", events.LogID(m.EventID))
	return nil
}
