package events

import (
	"embed"
	"slices"
	"time"
)

// Forever is the retention of topics that are the source of truth: the read model is rebuilt from them.
const Forever time.Duration = -1

// Definition describes one event type.
type Definition struct {
	Topic       string        // the topic, which is also the event type
	Description string        // one sentence
	Partitions  int32         // at creation; adding partitions later moves keys
	Retention   time.Duration // Forever, or how long the topic keeps an event

	Payload func() any                                 // a pointer to an empty payload, for a decoder to fill and for Event
	Event   func(Factory, any, ...Option) (Any, error) // makes an event of a payload, as [Make] does
	Decode  func(value []byte) (Any, error)            // reads a record's value, as the function [Decode] does
	Rules   func() []Rule                              // what [Validate] checks, for documents
}

// catalogue lists every event type once. Everything else that needs the list reads it from here or is tested against it.
var catalogue = []Definition{
	define[ContactCreated]("A visitor left contact details."),
	define[MachineCreated]("An operator registered a vending machine."),
	define[RequestCreated]("A customer requested drinks."),
	define[Notification]("A notification was requested."),
}

// define describes the type T. Six partitions let six workers share a topic.
func define[T Payload](description string) Definition {
	var zero T
	return Definition{
		Topic: zero.Topic(), Description: description, Partitions: 6, Retention: Forever,
		Payload: func() any { return new(T) },
		Event: func(f Factory, payload any, options ...Option) (Any, error) {
			return Make(f, *payload.(*T), options...)
		},
		Decode: func(value []byte) (Any, error) { return Decode[T](value) },
		Rules: func() (rules []Rule) {
			zero.check(&validator{rules: &rules})
			return rules
		},
	}
}

// Catalogue lists the event types.
func Catalogue() []Definition { return slices.Clone(catalogue) }

// Lookup finds the event type of a topic.
func Lookup(topic string) (Definition, bool) {
	for _, d := range catalogue {
		if d.Topic == topic {
			return d, true
		}
	}
	return Definition{}, false
}

//go:embed testdata/*.json
var samples embed.FS

// Sample is one event of the type as first released. Every later version must decode it.
func (d Definition) Sample() ([]byte, error) {
	return samples.ReadFile("testdata/" + d.Topic + ".json")
}
