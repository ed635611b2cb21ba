package bus

import (
	"context"
	"fmt"

	"github.com/sipeat/sipeat/shared/events"
)

// Handler handles one event. It must be safe to repeat, and must return soon after ctx is done. [Outcome] lists what its
// error means.
type Handler[T events.Payload] func(ctx context.Context, e events.Event[T]) error

// Consumer is one consumer of one topic, with its event type erased so that consumers of many types fit one table.
type Consumer struct {
	Topic string
	Group string // the consumer group, under which its offsets are kept

	decode func(r *Record, reuse any) (message, error) // reuse is an earlier event, which it may overwrite; nil = none
	handle func(ctx context.Context, event any) error
}

type message struct {
	event   any // *events.Event[T]
	eventID string
	key     string // orders it, unless its record has a Kafka key
}

// NewConsumer returns a consumer that passes each event through the steps in turn; the first error ends it.
func NewConsumer[T events.Payload](group string, steps ...Handler[T]) Consumer {
	var zero T
	return Consumer{
		Topic:  zero.Topic(),
		Group:  group,
		decode: decode[T],
		handle: func(ctx context.Context, event any) error {
			for _, step := range steps {
				if err := step(ctx, *event.(*events.Event[T])); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// Try decodes one record and runs the steps once, without an engine. A panic is an error.
func (c Consumer) Try(ctx context.Context, r Record) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = events.Recovered(value)
		}
	}()
	m, err := c.decode(&r, nil)
	if err != nil {
		return err
	}
	return c.handle(ctx, m.event)
}

func decode[T events.Payload](r *Record, reuse any) (m message, err error) {
	defer func() {
		if value := recover(); value != nil {
			cause := fmt.Errorf("%w: %w", events.ErrNotUnderstood, events.Recovered(value))
			err = events.Wrap(events.Invalid, cause, "the decoder panics on it")
		}
	}()
	if r.Unreadable != nil {
		return message{}, events.Wrap(events.Invalid, fmt.Errorf("%w: %w", errTooLarge, r.Unreadable), "the record cannot be read")
	}
	e, ok := reuse.(*events.Event[T])
	if !ok {
		e = new(events.Event[T])
	}
	if *e, err = events.Decode[T](r.Value); err != nil {
		return message{}, err
	}
	if e.Metadata.Timestamp.IsZero() {
		e.Metadata.Timestamp = events.At(r.Timestamp)
		// A producer may set any number there, such as nanoseconds for milliseconds.
		if _, err := e.Metadata.Timestamp.MarshalText(); err != nil {
			e.Metadata.Timestamp = e.Data.HappenedAt()
		}
	}
	return message{e, events.LogID(e.ID), e.Key()}, nil
}
