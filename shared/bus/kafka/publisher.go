package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// PublishTimeout is how long a publish waits for the brokers before it reports that the event's fate is unknown.
const PublishTimeout = 5 * time.Second

// abandonAfter is when the client drops a record that it holds: later than the caller's timeout, so that a short outage
// loses nothing, but soon enough that a long one does not fill the memory.
const abandonAfter = 30 * time.Second

// metadataMinAge is the least time between two looks at who leads which partition. What fails is tried again after a backoff
// of the client's own besides, 250 ms to 2.5 s.
const metadataMinAge = 250 * time.Millisecond

// A request that a broker does not answer within the sum of these ends its connection, so that one that died silently
// costs publishers 5 s; the client's defaults are 10 s each.
const (
	produceTimeout = 3 * time.Second // what the broker has for the replicas
	answerTimeout  = 2 * time.Second // and for everything else
)

// maxWaitingBytes is how large the records may be that wait for the brokers; one more is refused.
const maxWaitingBytes = 64 << 20

// maxWaiting is how many records may wait for the brokers; one more is refused at once.
const maxWaiting = 10_000

// Publisher writes events, one record each, acknowledged by all in-sync replicas and, by the idempotent producer, once
// per call. It is safe for use by several goroutines.
type Publisher struct {
	producer *producer
	topics   sync.Map // to which events were sent
}

var _ bus.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher. It does not dial yet.
func NewPublisher(cluster settings.Kafka, logger *slog.Logger) (*Publisher, error) {
	p, err := newProducer(cluster, logger, kgo.MaxBufferedRecords(maxWaiting), kgo.ProducerBatchMaxBytes(topicMaxBytes))
	if err != nil {
		return nil, err
	}
	return &Publisher{producer: p}, nil
}

// Publish writes the event and waits for the brokers, at most [PublishTimeout] and as long as ctx allows. When they do not
// confirm it, the error is Unavailable, with the event's id, and says whether it may still be written or was not sent.
func (p *Publisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	return p.Send(ctx, e).Wait(ctx)
}

// Send begins to write the event and returns at once. Events that are sent one after the other are written in that order.
func (p *Publisher) Send(ctx context.Context, e events.Any) *Pending {
	value, err := e.Encode()
	if err != nil {
		return &Pending{eventID: e.EventID(), failed: err}
	}
	if p.producer.current().Context().Err() != nil {
		return &Pending{eventID: e.EventID(), failed: notSent(e.EventID(), kgo.ErrClientClosed)}
	}
	p.topics.Store(e.Topic(), nil)
	record := &kgo.Record{Topic: e.Topic(), Partition: nowhere, Key: []byte(e.Key()), Value: value}
	if parent, ok := trace.From(ctx); ok {
		record.Headers = []kgo.RecordHeader{{Key: trace.Header, Value: []byte(parent)}}
	}
	return &Pending{eventID: e.EventID(), written: p.producer.produce(ctx, record)}
}

// Pending is an event on its way.
type Pending struct {
	eventID string
	written <-chan written
	failed  error // it never went
}

// Wait waits as [Publisher.Publish] does. It is to be called once.
func (p *Pending) Wait(ctx context.Context) (bus.Position, error) {
	if p.failed != nil {
		return bus.Position{}, p.failed
	}
	r, err := await(ctx, p.written)
	if err == nil {
		return bus.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, nil
	}
	if errors.Is(err, kerr.MessageTooLarge) {
		return bus.Position{}, &events.Error{Kind: events.Invalid, Message: "the event is larger than its topic takes",
			EventID: p.eventID, Err: err}
	}
	if r != nil && r.Partition == nowhere {
		return bus.Position{}, notSent(p.eventID, err)
	}
	return bus.Position{}, &events.Error{Kind: events.Unavailable, EventID: p.eventID, Err: err,
		Message: "the event was not confirmed; it may have been written, or may still be"}
}

// nowhere is the partition of a record until the client has chosen one, before which it cannot go: it goes to none when
// too many wait already, or while the partitions of its topic are unknown.
const nowhere = -1

func notSent(eventID string, cause error) error {
	return &events.Error{Kind: events.Unavailable, EventID: eventID, Err: cause,
		Message: "the event was not sent, and will not be; try again"}
}

// Ping reports whether a broker answers, and whether the topics exist to which events were sent.
func (p *Publisher) Ping(ctx context.Context) error {
	client := p.producer.current()
	var topics []string
	p.topics.Range(func(topic, _ any) bool {
		topics = append(topics, topic.(string))
		return true
	})
	if len(topics) == 0 {
		return client.Ping(ctx)
	}
	found, err := kadm.NewClient(client).ListTopics(ctx, topics...)
	if err != nil {
		return err
	}
	for _, t := range found.Sorted() {
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			err = errors.Join(err, fmt.Errorf("topic %s was deleted; `sipeat topics` creates it", t.Topic))
		}
	}
	return err
}

// Close waits for the records in flight, as long as ctx allows, and closes the client.
func (p *Publisher) Close(ctx context.Context) error {
	client := p.producer.current()
	defer client.Close()
	return client.Flush(ctx)
}

var errTimeout = errors.New("no broker confirmed the record in time")

// await waits on a timer of its own, because no option of the client bounds a record that is in flight: the client
// cannot give one up without leaving a gap in its sequence numbers.
func await(ctx context.Context, done <-chan written) (*kgo.Record, error) {
	timer := time.NewTimer(PublishTimeout)
	defer timer.Stop()
	select {
	case w := <-done:
		return w.record, w.err
	case <-timer.C:
		return nil, errTimeout
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
