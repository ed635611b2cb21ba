package events

import (
	"embed"
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

	payload func() any
	event   func(Factory, any, []Option) (Any, error)
	decode  func([]byte) (Any, error)
}

// catalogue lists every event type once. Everything else that needs the list reads it from here or is tested against it.
var catalogue = []Definition{
	define[ContactCreated]("A visitor left contact details."),
	define[MachineCreated]("An operator registered a vending machine."),
	define[RequestCreated]("A customer requested drinks."),
	define[Notification]("A notification is to be delivered."),
}

// define describes the type T. Six partitions let six workers share a topic.
func define[T Payload](description string) Definition {
	var zero T
	return Definition{
		Topic: zero.Topic(), Description: description, Partitions: 6, Retention: Forever,
		payload: func() any { return new(T) },
		event: func(f Factory, payload any, options []Option) (Any, error) {
			return Make(f, *payload.(*T), options...)
		},
		decode: func(value []byte) (Any, error) { return Decode[T](value) },
	}
}

// Catalogue lists the event types.
func Catalogue() []Definition { return append([]Definition(nil), catalogue...) }

// Lookup finds the event type of a topic.
func Lookup(topic string) (Definition, bool) {
	for _, d := range catalogue {
		if d.Topic == topic {
			return d, true
		}
	}
	return Definition{}, false
}

// Payload is a pointer to an empty payload of the type, for a decoder to fill and for [Definition.Event].
func (d Definition) Payload() any { return d.payload() }

// Event makes an event of a payload from [Definition.Payload], as [Make] does.
func (d Definition) Event(f Factory, payload any, options ...Option) (Any, error) {
	return d.event(f, payload, options)
}

// Decode reads a record's value as [Decode] does.
func (d Definition) Decode(value []byte) (Any, error) { return d.decode(value) }

//go:embed testdata/*.json
var samples embed.FS

// Sample is one event of the type as first released. Every later version must decode it.
func (d Definition) Sample() ([]byte, error) {
	return samples.ReadFile("testdata/" + d.Topic + ".json")
}
