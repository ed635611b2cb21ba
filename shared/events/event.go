package events

import (
	"crypto/sha256"
	"fmt"
)

// Event is one event as it travels: what happened (Data) in its envelope.
type Event[T Payload] struct {
	ID       string   `json:"eventId"`   // UUIDv7, or UUIDv5 when derived; another producer's may be any string
	Type     string   `json:"eventType"` // equals the topic
	Data     T        `json:"data"`
	Metadata Metadata `json:"metadata"`
}

// Metadata says where an event came from. Events of other producers may lack all of it.
type Metadata struct {
	Timestamp     Time   `json:"timestamp,omitzero"` // when the event was made
	Producer      string `json:"producer"`
	CorrelationID string `json:"correlationId,omitempty"` // the first event of the chain
	CausationID   string `json:"causationId,omitempty"`   // the event that caused this one
}

// Payload is what an event says. Every payload type embeds [Base], adds its fields and names its topic.
type Payload interface {
	Topic() string      // the topic, which is also the event type
	Key() string        // the id of the thing that the event is about; "" if it is about nothing else
	ResourceID() string // data.id
	HappenedAt() Time   // data.timestamp

	readable() error // what a reader insists on; Base's, unless the type has its own
}

// Base is what all payloads have: the id of the thing that the event made known, and when it happened. The factory
// fills both where they are empty.
type Base struct {
	ID        string `json:"id,omitempty" validate:"required,max=128,token"`
	Timestamp Time   `json:"timestamp,omitzero" validate:"moment"`
}

// Key is the thing's id: whatever happens to one thing stays in order.
func (b Base) Key() string { return b.ID }

func (b Base) ResourceID() string { return b.ID }

func (b Base) HappenedAt() Time { return b.Timestamp }

// readable: without an id nothing can be kept.
func (b Base) readable() error {
	if b.ID == "" {
		return notUnderstood("no data.id")
	}
	return nil
}

func (b *Base) setTime(at Time) { b.Timestamp = at }

func (b *Base) stamp(id string, at Time) {
	if b.ID == "" {
		b.ID = id
	}
	if b.Timestamp.IsZero() {
		b.Timestamp = at
	}
}

// Any is an event of any type, ready to be written.
type Any interface {
	Topic() string
	Key() string
	EventID() string
	ResourceID() string
	Encode() ([]byte, error)
}

// Topic is the topic that the event belongs on.
func (e Event[T]) Topic() string { return e.Data.Topic() }

// Key is the Kafka key: the id of the thing that the event is about, so that its events stay in order.
func (e Event[T]) Key() string {
	if key := e.Data.Key(); key != "" {
		return key
	}
	return e.ResourceID()
}

// EventID is the event's own id, by which a repeat is known.
func (e Event[T]) EventID() string { return e.ID }

// ResourceID is the id under which the thing is kept: the payload's, or the event's where the payload has none.
func (e Event[T]) ResourceID() string {
	if id := e.Data.ResourceID(); id != "" {
		return id
	}
	return e.ID
}

// Identified is e with the id under which the thing is kept in its payload, so that what is shown can be asked for.
func (e Event[T]) Identified() Event[T] {
	any(&e.Data).(interface{ stamp(string, Time) }).stamp(e.ResourceID(), e.Data.HappenedAt())
	return e
}

// Correlation is the id of the first event of the chain that e belongs to.
func (e Event[T]) Correlation() string {
	if e.Metadata.CorrelationID != "" {
		return e.Metadata.CorrelationID
	}
	return e.ID
}

// Digest is a hash of what the event says, leaving out when it happened: the same for a repeat of the same statement,
// another for a different statement about the same thing.
func (e Event[T]) Digest() ([sha256.Size]byte, error) {
	data := e.Data
	any(&data).(interface{ setTime(Time) }).setTime(Time{}) // every payload embeds Base
	b, err := EncodePayload(data)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("digest of %s %s: %w", e.Type, LogID(e.ID), err)
	}
	return sha256.Sum256(b), nil
}
