// Package consumers holds the consuming side: one handler per topic. Each has two halves. Project takes the event into the
// read model; it is safe to repeat and to replay. React is what goes out into the world, and is never replayed.
package consumers

import (
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// Consumers is what the functions of this side need.
type Consumers struct {
	Events    events.Factory
	Publisher bus.Publisher
	Notifier  notify.Notifier
	Store     store.Writer
	Claims    store.Claims
	// AnnouncedBy lists the producers that write their own notification beside each other event, as the TypeScript app
	// does: none is derived from theirs, or everybody would be told twice.
	AnnouncedBy []string

	sent *sent
}

// Functions lists the consumers. Their groups are those of the TypeScript app, whose place they take at its offsets.
func (c Consumers) Functions() []Function {
	c.sent = &sent{}
	return []Function{
		function("contact-created", "sipeat-contact-consumer", OnContactCreated{c}),
		function("machine-created", "sipeat-machine-consumer", OnMachineCreated{c}),
		function("request-created", "sipeat-request-consumer", OnRequestCreated{c}),
		function("notification", "sipeat-notification-consumer", OnNotification{c}),
	}
}
