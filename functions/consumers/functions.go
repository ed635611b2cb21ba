// Package consumers is the consuming side: one handler per topic, with two halves. Project updates the read model; it can be
// repeated and replayed. React has the effects outside, and is never replayed.
package consumers

import (
	"context"
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
	Notifier  notify.Channels
	Store     store.Writer
	Claims    store.Claims
	// AnnouncedBy lists the producers that write their own notification for each other event, as the TypeScript app does:
	// none is derived from their events, or people would be notified twice.
	AnnouncedBy []string
}

// Projection is the version of the projections. Raise it with a change that makes other items of the same events: a program then
// refuses read models of another version until they are rebuilt.
const Projection = 1

// Projected returns the read model as the consumers' Store: one of another version is refused, see [store.Projected].
func Projected(model store.Store) *store.Projected {
	return &store.Projected{Store: model, Version: Projection}
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

// Function is one consumer.
type Function struct {
	Name     string
	Consumer bus.Consumer // both halves
	Replay   bus.Consumer // Project alone: rebuilds the read model, without effects
}

// handler is the two halves of a consumer of T.
type handler[T events.Payload] interface {
	Project(context.Context, events.Event[T]) error
	React(context.Context, events.Event[T]) error
}

// H is a separate type parameter so that the compiler reports which half a consumer lacks.
func function[T events.Payload, H handler[T]](name, group string, h H) Function {
	return Function{
		Name:     name,
		Consumer: bus.NewConsumer(group, h.Project, h.React),
		Replay:   bus.NewConsumer(group, h.Project),
	}
}
