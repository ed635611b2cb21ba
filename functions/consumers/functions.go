// Package consumers is the consuming side: one handler per topic, with two halves. Project updates the read model; it can be
// repeated and replayed. React has the effects outside, and is never replayed.
package consumers

import (
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
)

// Consumers are the dependencies of the functions.
type Consumers struct {
	Events    events.Factory
	Publisher bus.Publisher
	Notifier  notify.Notifier
	Store     store.Writer
	Claims    store.Claims
	// AnnouncedBy lists the producers that write their own notification for each other event, as the TypeScript app does:
	// none is derived from their events, or people would be notified twice.
	AnnouncedBy []string
}

// Functions lists the consumers. Their groups are those of the TypeScript app, so they continue at its offsets.
func (c Consumers) Functions() []Function {
	return []Function{
		function("contact-created", "sipeat-contact-consumer", OnContactCreated{c}),
		function("machine-created", "sipeat-machine-consumer", OnMachineCreated{c}),
		function("request-created", "sipeat-request-consumer", OnRequestCreated{c}),
		function("notification", "sipeat-notification-consumer", &OnNotification{Consumers: c}),
	}
}

func (c Consumers) now() time.Time {
	if c.Events.Now != nil {
		return c.Events.Now()
	}
	return time.Now()
}
