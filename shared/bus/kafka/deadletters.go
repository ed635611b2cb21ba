package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// DeadLetters writes rejected records to the dead-letter topic of their topic. It has a client of its own: dead letters are
// larger than the records they hold, and larger than what the source topics take.
type DeadLetters struct{ producer *producer }

var _ bus.DeadLetters = (*DeadLetters)(nil)

// NewDeadLetters makes the writer. It does not dial before the first dead letter.
func NewDeadLetters(cluster settings.Kafka, logger *slog.Logger) (*DeadLetters, error) {
	p, err := newProducer(cluster, logger, kgo.ProducerBatchMaxBytes(deadLetterMaxBytes))
	if err != nil {
		return nil, err
	}
	return &DeadLetters{p}, nil
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

// Close closes the client. Every Write waited for its dead letter, so nothing that matters is in flight.
func (d *DeadLetters) Close() { d.producer.current().Close() }

// deadLettersRead is how many dead letters of a partition are read, from its end.
const deadLettersRead = 1000

// DeadLetterCount is how many dead letters a topic holds, and the classes of the newest.
type DeadLetterCount struct {
	Records  int64             // on the topic
	Read     int               // of those, the newest
	Events   int               // among those that were read; an event that was delivered again may have several dead letters
	Classes  map[bus.Class]int // of the events; a record that is no dead letter of ours counts as "other"
	Complete bool              // all were read
}

// CountDeadLetters counts dead letters by topic; a topic that does not exist is left out. When ctx ends, it returns what it has
// read by then.
func CountDeadLetters(ctx context.Context, cluster settings.Kafka, topics ...string) (map[string]DeadLetterCount, error) {
	var mu sync.Mutex
	var reading errgroup.Group // at the same time, so that each topic has all the time
	counts := map[string]DeadLetterCount{}
	for _, topic := range topics {
		reading.Go(func() error {
			c, err := withClient(cluster, func(client *kgo.Client) (DeadLetterCount, error) {
				return countDeadLetters(ctx, client, topic)
			})
			if events.KindOf(err) == events.NotFound {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				counts[topic] = c
			}
			return err
		})
	}
	return counts, reading.Wait()
}

func countDeadLetters(ctx context.Context, client *kgo.Client, topic string) (DeadLetterCount, error) {
	c := DeadLetterCount{Classes: map[bus.Class]int{}}
	from, ends, err := bounds(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return c, err
	}
	for n, end := range ends {
		c.Records += end - from[n]
		from[n] = max(from[n], end-deadLettersRead)
	}
	seen := map[bus.DeadLetterSource]bool{}
	err = read(ctx, client, topic, from, ends, func(done bool) (bool, error) { return !done, nil }, func(r bus.Record) error {
		c.Read++
		source, class, ok := bus.SourceOf(r)
		if !ok {
			source.Position = bus.Position{Topic: topic, Partition: r.Partition, Offset: r.Offset}
			class = "other"
		}
		if !seen[source] {
			seen[source] = true
			c.Events++
			c.Classes[class]++
		}
		return nil
	})
	c.Complete = int64(c.Read) >= c.Records
	if ctx.Err() != nil {
		err = nil // what was read is true
	}
	return c, err
}
