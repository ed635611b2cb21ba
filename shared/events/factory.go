package events

import (
	"cmp"
	"time"

	"github.com/google/uuid"
)

// Producer is the name under which this program writes.
const Producer = "sipeat-api"

// Factory makes events. The zero value is ready: the real clock and fresh ids.
type Factory struct {
	Now   func() time.Time
	NewID func() string // a new UUIDv7
}

// Option sets the origin of one event.
type Option func(*origin)

type origin struct{ resourceID, eventID, correlation, causation string }

// DerivedFrom derives the ids of the resource and of the event from a seed (UUIDv5), so that the same seed makes the same event
// again: a repeat that every reader recognizes. An empty seed changes nothing.
func DerivedFrom(seed string) Option {
	return func(o *origin) {
		if seed != "" {
			o.resourceID, o.eventID = derive("thing", seed), derive("event", seed)
		}
	}
}

// DerivedID is the id of an event that is [DerivedFrom] a seed.
func DerivedID(seed string) string { return derive("event", seed) }

// CausedBy makes the event a link in cause's chain. Its ids derive from the purpose, and from the cause's topic and resource
// (UUIDv5): one statement has one effect for each purpose, however often it is handled, and also if it is made again as
// another event.
func CausedBy[T Payload](cause Event[T], purpose string) Option {
	return func(o *origin) {
		DerivedFrom(purpose + "\n" + cause.Topic() + "\n" + cause.ResourceID())(o)
		o.correlation, o.causation = cause.Correlation(), cause.ID
	}
}

// New makes an event of data with the default [Factory].
func New[T Payload](data T, options ...Option) (Event[T], error) {
	return Make(Factory{}, data, options...)
}

// Make makes an event of data: it fills in ids, times and producer, and validates the whole. The error is Invalid and lists
// every faulty field.
func Make[T Payload](f Factory, data T, options ...Option) (Event[T], error) {
	var o origin
	for _, option := range options {
		option(&o)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	if f.NewID == nil {
		f.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.resourceID == "" {
		o.resourceID, o.eventID = f.NewID(), f.NewID()
	}
	now := At(f.Now())
	base := baseOf(&data)
	base.ID = cmp.Or(base.ID, o.resourceID)
	if base.Timestamp.IsZero() {
		base.Timestamp = now
	}
	if faults := Validate(data); len(faults) > 0 {
		return Event[T]{}, &Error{Kind: Invalid, Message: "some fields are not acceptable", Fields: faults}
	}
	return Event[T]{
		ID: o.eventID, Type: data.Topic(), Data: data,
		Metadata: Metadata{Timestamp: now, Producer: Producer, CausationID: o.causation,
			CorrelationID: cmp.Or(o.correlation, o.eventID)},
	}, nil
}

// namespace is the UUIDv5 namespace of derived ids (RFC 9562, section 5.5). It must never change.
var namespace = uuid.MustParse("5b1f3c2e-8a0d-5c4b-9e6f-7d2a1b0c9e8f")

func derive(kind, seed string) string {
	return uuid.NewSHA1(namespace, []byte(kind+"\n"+seed)).String()
}
