package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DeadLetters writes rejected records to the dead-letter topic of their topic. It has a client of its own: dead letters are
// larger than the records they hold, and larger than what the source topics take.
type DeadLetters struct{ producer *producer }

// NewDeadLetters makes the writer. It does not dial before the first dead letter.
func NewDeadLetters(cluster settings.Kafka, logger *slog.Logger) (*DeadLetters, error) {
	p, err := newProducer(cluster, logger, deadLetterMaxBytes)
	return &DeadLetters{p}, err
}

// Write writes the dead letter. One that its topic refuses for its size is written without its value, as class too-large: the
// headers name the record's source, and the reason begins with the class that it was rejected for. A Write that fails may
// still take effect later, so that a retry leaves two dead letters of one source.
func (d *DeadLetters) Write(ctx context.Context, l bus.DeadLetter) error {
	err := d.write(ctx, l)
	if errors.Is(err, kerr.MessageTooLarge) {
		l.Reason = string(l.Class) + ": " + l.Reason
		l.Class, l.Record.Value = bus.TooLarge, nil
		err = d.write(ctx, l)
	}
	if err != nil {
		return fmt.Errorf("dead letter of %s/%d offset %d: %w", l.Record.Topic, l.Record.Partition, l.Record.Offset, err)
	}
	return nil
}

func (d *DeadLetters) write(ctx context.Context, l bus.DeadLetter) error {
	_, err := await(ctx, d.producer.produce(ctx, toKgo(l.Encode())))
	return err
}

func toKgo(r bus.Record) *kgo.Record {
	out := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

// Close closes the client. Every Write waited for its dead letter, so nothing that matters is in flight.
func (d *DeadLetters) Close() { d.producer.client.Load().Close() }
