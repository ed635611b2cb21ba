// Package notify says how people are told. A [Notifier] delivers one message; which ones there are is a setting.
package notify

import (
	"context"
	"log/slog"
)

// Message is what somebody is told.
type Message struct {
	ID        string // of the notification; the same for a repeat
	EventID   string
	Type      string // contact, machine or request
	SubjectID string // the thing it is about; may be empty
	Recipient string // an e-mail address; empty = whoever the settings name
	Text      string
}

// Notifier tells people.
type Notifier interface {
	// Notify returns when the message is on its way. An Invalid error says that it never will be, whatever is tried; an
	// Unavailable one that it may be later.
	Notify(ctx context.Context, m Message) error
}

// Log tells people by the log: who runs the program sees that there is something to see, and where. What the message
// says is not logged, because it is about people.
type Log struct{ Logger *slog.Logger }

func (l Log) Notify(ctx context.Context, m Message) error {
	l.Logger.InfoContext(ctx, "notification", "type", m.Type, "id", m.ID, "subject", m.SubjectID, "event", m.EventID)
	return nil
}
