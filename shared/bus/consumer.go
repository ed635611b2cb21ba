package bus

import (
	"context"
	"fmt"

	"github.com/sipeat/sipeat/shared/events"
)

// Handler does what one event asks for. It must be safe to repeat, and must return soon after ctx is done. What its
// error means is in the table of [Outcome].
type Handler[T events.Payload] func(ctx context.Context, e events.Event[T]) error

// Consumer is one consumer of one topic, its event type forgotten so that consumers of many types fit one table.
type Consumer struct {
	Topic string
	Group string // the consumer group, under which its offsets are kept

	decode func([]Record, *chunk)
	handle func(context.Context, any) error
}

// NewConsumer makes a consumer whose events go through the steps in turn; the first error ends it.
func NewConsumer[T events.Payload](group string, steps ...Handler[T]) Consumer {
	var zero T
	return Consumer{
		Topic: zero.Topic(),
		Group: group,
		decode: func(records []Record, c *chunk) {
			decoded, _ := c.events.(*[chunkSize]events.Event[T])
			if decoded == nil {
				decoded = new([chunkSize]events.Event[T])
				c.events = decoded
			}
			for i := range records {
				e := &decoded[i]
				if err := decode(&records[i], e); err != nil {
					c.deliveries[i].troubled().fault = err
					continue
				}
				c.deliveries[i].message = message{e, events.LogID(e.ID), e.Key()}
			}
		},
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

func decode[T events.Payload](r *Record, into *events.Event[T]) (err error) {
	defer func() {
		if value := recover(); value != nil {
			cause := fmt.Errorf("%w: %w", events.ErrNotUnderstood, events.Recovered(value))
			err = events.Wrap(events.Invalid, cause, "the decoder panics on it")
		}
	}()
	if r.Unreadable != nil {
		return events.Wrap(events.Invalid, fmt.Errorf("%w: %w", errTooLarge, r.Unreadable), "the record cannot be read")
	}
	*into, err = events.Decode[T](r.Value)
	if err == nil && into.Metadata.Timestamp.IsZero() {
		into.Metadata.Timestamp = made(r, into)
	}
	return err
}

// made is when an event was made that does not say so: when its record was. That may be any number, of a producer that
// writes nanoseconds for milliseconds say, and no moment that can be written again; then it is when the thing happened.
func made[T events.Payload](r *Record, e *events.Event[T]) events.Time {
	at := events.At(r.Timestamp)
	if _, err := at.MarshalText(); err != nil {
		return e.Data.HappenedAt()
	}
	return at
}
