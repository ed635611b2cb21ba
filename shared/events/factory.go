package events

import (
	"time"

	"github.com/google/uuid"
)

// Producer is the name under which this program writes.
const Producer = "sipeat-api"

// Factory makes events. The zero value is ready: the real clock, fresh ids, and [Producer] as producer.
type Factory struct {
	Producer string
	Now      func() time.Time
	NewID    func() string // a new UUIDv7
}

// Option says what is special about one event.
type Option func(*origin)

type origin struct{ resourceID, eventID, correlation, causation string }

// DerivedFrom makes the ids of the thing and of the event from a seed (UUIDv5), so that the same seed gives the same
// event again: a repeat that every reader can tell. An empty seed changes nothing.
func DerivedFrom(seed string) Option {
	return func(o *origin) {
		if seed != "" {
			o.resourceID, o.eventID = derive("thing", seed), derive("event", seed)
		}
	}
}

// CausedBy makes the event a link in cause's chain. Its ids derive from the cause (UUIDv5) and the purpose, so that
// one cause has one effect for each purpose however often it is handled.
func CausedBy[T Payload](cause Event[T], purpose string) Option {
	return func(o *origin) {
		DerivedFrom(purpose + "\n" + cause.Topic() + "\n" + cause.ID)(o)
		o.correlation, o.causation = short(cause.Correlation()), short(cause.ID)
	}
}

// short stands for an id of any length, which another producer may have made, so that a chain cannot grow beyond what
// a topic takes.
func short(id string) string {
	if len(id) > 512 {
		return derive("long", id)
	}
	return id
}

// New makes the event that says data, with the default [Factory].
func New[T Payload](data T, options ...Option) (Event[T], error) {
	return Make(Factory{}, data, options...)
}

// Make makes the event that says data: it fills in the ids, times and producer, and checks all of it. What is not
// acceptable comes back as one Invalid error that names every faulty field.
func Make[T Payload](f Factory, data T, options ...Option) (Event[T], error) {
	var o origin
	for _, option := range options {
		option(&o)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	if f.NewID == nil {
		f.NewID = newID
	}
	if f.Producer == "" {
		f.Producer = Producer
	}
	if o.resourceID == "" {
		o.resourceID, o.eventID = f.NewID(), f.NewID()
	}
	if o.correlation == "" {
		o.correlation = o.eventID
	}
	now := At(f.Now())
	any(&data).(interface{ stamp(string, Time) }).stamp(o.resourceID, now) // every payload embeds Base
	if err := Validate(data); err != nil {
		return Event[T]{}, err
	}
	return Event[T]{
		ID: o.eventID, Type: data.Topic(), Data: data,
		Metadata: Metadata{Timestamp: now, Producer: f.Producer, CorrelationID: o.correlation, CausationID: o.causation},
	}, nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// namespace is the UUIDv5 namespace of derived ids (RFC 9562, section 5.5). It must never change.
var namespace = uuid.MustParse("5b1f3c2e-8a0d-5c4b-9e6f-7d2a1b0c9e8f")

func derive(kind, seed string) string {
	return uuid.NewSHA1(namespace, []byte(kind+"\n"+seed)).String()
}
