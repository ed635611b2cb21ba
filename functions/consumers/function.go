package consumers

import (
	"context"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
)

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
