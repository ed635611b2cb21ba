package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Publisher writes events, one record each, acknowledged by all in-sync replicas and, by the idempotent producer, once
// per call. It is safe for use by several goroutines.
type Publisher struct{ producer *producer }

// NewPublisher makes a publisher. It does not dial yet.
func NewPublisher(cluster settings.Kafka, logger *slog.Logger) (*Publisher, error) {
	p, err := newProducer(cluster, logger, TopicMaxBytes)
	return &Publisher{p}, err
}

// Publish writes the event and waits for the brokers, at most [PublishTimeout] and as long as ctx allows. When they do not
// confirm it, the error is Unavailable, with the event's id: it may have been written, or may still be.
func (p *Publisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	return p.Send(ctx, e)(ctx)
}

// Send begins to write the event and returns at once. Events that are sent one after the other are written in that order. wait
// waits as [Publisher.Publish] does, and is to be called once.
func (p *Publisher) Send(ctx context.Context, e events.Any) (wait func(context.Context) (bus.Position, error)) {
	value, err := e.Encode()
	if err != nil {
		return func(context.Context) (bus.Position, error) { return bus.Position{}, err }
	}
	record := &kgo.Record{Topic: e.Topic(), Key: []byte(e.Key()), Value: value}
	if parent, ok := trace.From(ctx); ok {
		record.Headers = []kgo.RecordHeader{{Key: trace.Header, Value: []byte(parent)}}
	}
	written := p.producer.produce(ctx, record)
	return func(ctx context.Context) (bus.Position, error) { return confirmed(ctx, written, e.EventID()) }
}

// confirmed waits until the record of an event is written.
func confirmed(ctx context.Context, written <-chan kgo.ProduceResult, eventID string) (bus.Position, error) {
	r, err := await(ctx, written)
	if err == nil {
		return bus.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, nil
	}
	if errors.Is(err, kerr.MessageTooLarge) {
		return bus.Position{}, events.Wrap(events.Invalid, err, "the event is larger than its topic takes")
	}
	return bus.Position{}, &events.Error{Kind: events.Unavailable, EventID: eventID, Err: err,
		Message: "the event was not confirmed; it may have been written, or may still be"}
}

// Ping reports whether a broker answers and the topics of the catalogue exist.
func (p *Publisher) Ping(ctx context.Context) error {
	var topics []string
	for _, d := range events.Catalogue() {
		topics = append(topics, d.Topic)
	}
	found, err := kadm.NewClient(p.producer.client.Load()).ListTopics(ctx, topics...)
	for _, t := range found.Sorted() {
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			err = errors.Join(err, fmt.Errorf("there is no topic %s; `sipeat topics` creates it", t.Topic))
		}
	}
	return err
}

// Close waits for the records in flight, as long as ctx allows, and closes the client.
func (p *Publisher) Close(ctx context.Context) error {
	p.producer.gate.open()
	client := p.producer.client.Load()
	defer client.Close()
	return client.Flush(ctx)
}
