// Package events defines the events: payload types and envelope, the factory that makes them, validation, the codec and the
// catalogue of all types.
//
// It is strict when writing and tolerant when reading. [New] validates an event in full. [Decode] rejects only records that
// cannot be understood, because other programs write to the same topics, among them the existing TypeScript app: events
// with ids of other forms, with empty fields, without correlation.
//
// The wire format is frozen: the samples in testdata were released and must always decode.
//
// Error texts hold no payload: they name field, kind and position. So every error may be logged; [LogText] bounds it.
package events

import (
	"cmp"
	"crypto/sha256"
)

// Event is an event as it travels: its payload (Data) in an envelope.
type Event[T Payload] struct {
	ID       string   `json:"eventId"`   // UUIDv7, or UUIDv5 when derived; other producers may use any string
	Type     string   `json:"eventType"` // equals the topic
	Data     T        `json:"data"`
	Metadata Metadata `json:"metadata"`
}

// Metadata is the origin of an event. Events of other producers may lack all of it.
type Metadata struct {
	Timestamp     Time   `json:"timestamp,omitzero"` // when the event was made
	Producer      string `json:"producer"`
	CorrelationID string `json:"correlationId,omitempty"` // the first event of the chain
	CausationID   string `json:"causationId,omitempty"`   // the event that caused this one
}

// Payload is the content of an event. Every payload type embeds [Base], adds its fields and their validation, and names its
// topic.
type Payload interface {
	Topic() string      // the topic, which is also the event type
	Key() string        // the id of the subject, by which events are ordered; "" = none
	ResourceID() string // data.id
	HappenedAt() Time   // data.timestamp

	check(*validator) // the rules of every field, for events that are written
	readable() error  // what a reader requires; Base's, unless the type has its own
}

// Base is what all payloads have: the id of the resource that the event makes known, and when it happened. The factory fills
// in both where they are empty.
type Base struct {
	ID        string `json:"id,omitempty"`
	Timestamp Time   `json:"timestamp,omitzero"`
}

// Key is the resource's id, so that events about one resource stay in order.
func (b Base) Key() string { return b.ID }

func (b Base) ResourceID() string { return b.ID }

func (b Base) HappenedAt() Time { return b.Timestamp }

func (b Base) check(v *validator) {
	v.text(ID, "/id", b.ID, maxID, required)
	v.time("/timestamp", b.Timestamp)
}

// readable requires an id, because nothing can be stored without one.
func (b Base) readable() error {
	if b.ID == "" {
		return notUnderstood("no data.id")
	}
	return nil
}

// base gives access to the Base of any payload through a pointer to it.
func (b *Base) base() *Base { return b }

func baseOf[T Payload](data *T) *Base { return any(data).(interface{ base() *Base }).base() }

// Any is an event of any type, ready to be written.
type Any interface {
	Topic() string
	Key() string
	EventID() string
	ResourceID() string
	Encode() ([]byte, error)
}

func (e Event[T]) Topic() string { return e.Data.Topic() }

// Key is the Kafka key: the id of the subject, or of the resource where there is none.
func (e Event[T]) Key() string {
	return cmp.Or(e.Data.Key(), e.ResourceID())
}

// EventID is the event's own id, by which a repeat is recognized.
func (e Event[T]) EventID() string { return e.ID }

// ResourceID is the id under which the resource is stored: the payload's, or the event's if the payload has none.
func (e Event[T]) ResourceID() string {
	return cmp.Or(e.Data.ResourceID(), e.ID)
}

// Identified is e with its ResourceID in the payload, so that a resource that is shown can also be requested.
func (e Event[T]) Identified() Event[T] {
	baseOf(&e.Data).ID = e.ResourceID()
	return e
}

// Correlation is the id of the first event of the chain that e belongs to.
func (e Event[T]) Correlation() string {
	return cmp.Or(e.Metadata.CorrelationID, e.ID)
}

// Digest is a hash of the payload without its timestamp: equal for a repeat of the same statement, different for any other
// statement about the same resource.
func (e Event[T]) Digest() [sha256.Size]byte {
	data := e.Data
	baseOf(&data).Timestamp = Time{}
	b, _ := EncodePayload(data) // only times have errors
	return sha256.Sum256(b)
}
