package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DeadLetters writes rejected records to the dead-letter topic of theirs. It has a client of its own: letters are larger
// than the records they hold, and larger than the source topics take.
type DeadLetters struct {
	client *kgo.Client
	unsure unsure
}

var _ bus.DeadLetters = (*DeadLetters)(nil)

// NewDeadLetters makes the writer. It dials nobody until the first letter.
func NewDeadLetters(cluster settings.Kafka, logger *slog.Logger) (*DeadLetters, error) {
	client, err := newClient(cluster, logger, producing(kgo.ProducerBatchMaxBytes(deadLetterMaxBytes))...)
	if err != nil {
		return nil, err
	}
	return &DeadLetters{client: client}, nil
}

// Write writes the letter. If one of the same record was given up on the way lately, it waits for that instead: during an outage
// each try would be one letter more. One that its topic refuses for its size is written without its value, as class too-large:
// the headers say where the record stands, and the reason begins with the class that it was rejected for.
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
	of := letterOf{bus.Position{Topic: l.Record.Topic, Partition: l.Record.Partition, Offset: l.Record.Offset}, l.Consumer}
	sent := d.unsure.take(of)
	if sent.written == nil {
		sent = letter{produce(ctx, d.client, toKgo(l.Encode())), time.Now()}
	}
	r, err := await(ctx, sent.written, PublishTimeout)
	if r == nil {
		d.unsure.keep(of, sent)
	}
	return err
}

// Close ends the client. Every Write waited for its letter, so nothing is in flight that anybody relies on.
func (d *DeadLetters) Close() { d.client.Close() }
