package kafka

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// PublishTimeout is how long a publish waits for the brokers before it says that the event's fate is unknown.
const PublishTimeout = 5 * time.Second

// abandonAfter is when the client gives up a record that it holds: later than whoever published it, so that a short
// outage loses nothing, but soon enough that an outage does not fill the memory.
const abandonAfter = 30 * time.Second

// metadataMinAge is the least time between two looks at who leads which partition. What fails is tried again after a backoff
// of the client's own besides, 250 ms to 2.5 s.
const metadataMinAge = 250 * time.Millisecond

// A request that a broker does not answer within the sum of these ends its connection, so that one that has died silently
// costs publishers 5 s; the client's own are 10 s each.
const (
	produceTimeout = 3 * time.Second // what the broker has for the replicas
	answerTimeout  = 2 * time.Second // and for everything else
)

// maxWaitingBytes is how large the records may be that wait for the brokers; one more is refused at once.
const maxWaitingBytes = 64 << 20

// maxWaiting is how many records may wait for the brokers; one more is refused at once.
const maxWaiting = 10_000

// Publisher writes events, one record each, acknowledged by all in-sync replicas and, by the idempotent producer, once
// per call. It is safe for use by several goroutines.
type Publisher struct {
	client  *kgo.Client
	timeout time.Duration
}

var _ bus.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher. It dials nobody yet.
func NewPublisher(cluster settings.Kafka, logger *slog.Logger) (*Publisher, error) {
	client, err := newClient(cluster, logger, producing(kgo.MaxBufferedRecords(maxWaiting), kgo.ProducerBatchMaxBytes(topicMaxBytes))...)
	if err != nil {
		return nil, err
	}
	return &Publisher{client, PublishTimeout}, nil
}

// producing is what all our producers have in common.
func producing(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), // a request publishes one event and waits for it
		kgo.RecordDeliveryTimeout(abandonAfter),
		kgo.ProduceRequestTimeout(produceTimeout),
		kgo.RequestTimeoutOverhead(answerTimeout),
		kgo.MaxBufferedBytes(maxWaitingBytes),
		// Whoever was without brokers asks again soon: by default 5 s later, which is all that a request waits.
		kgo.MetadataMinAge(metadataMinAge),
	}, more...)
}

// Publish writes the event and waits for the brokers, at most [PublishTimeout] and as long as ctx allows. When they do not
// confirm it the error is Unavailable, with the event's id, and says whether it may still be written, later even, or was not sent.
func (p *Publisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	return p.Send(ctx, e).Wait(ctx)
}

// Send begins to write the event and returns at once. Events that are sent one after the other are written in that order.
func (p *Publisher) Send(ctx context.Context, e events.Any) *Pending {
	value, err := e.Encode()
	if err != nil {
		return &Pending{eventID: e.EventID(), failed: err}
	}
	if p.client.Context().Err() != nil {
		return &Pending{eventID: e.EventID(), failed: notSent(e.EventID(), kgo.ErrClientClosed)}
	}
	record := &kgo.Record{Topic: e.Topic(), Partition: nowhere, Key: []byte(e.Key()), Value: value}
	if parent, ok := trace.From(ctx); ok {
		record.Headers = []kgo.RecordHeader{{Key: trace.Header, Value: []byte(parent)}}
	}
	return &Pending{eventID: e.EventID(), timeout: p.timeout, written: produce(ctx, p.client, record)}
}

// Pending is an event on its way.
type Pending struct {
	eventID string
	timeout time.Duration
	written <-chan written
	failed  error // it never went
}

// Wait waits as [Publisher.Publish] does. It is to be called once.
func (p *Pending) Wait(ctx context.Context) (bus.Position, error) {
	if p.failed != nil {
		return bus.Position{}, p.failed
	}
	r, err := await(ctx, p.written, p.timeout)
	if err == nil {
		return bus.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, nil
	}
	if errors.Is(err, kerr.MessageTooLarge) {
		return bus.Position{}, &events.Error{Kind: events.Invalid, Message: "the event is larger than its topic takes", EventID: p.eventID, Err: err}
	}
	unknown := &events.Error{Kind: events.Unavailable, EventID: p.eventID, Err: err}
	switch {
	case r == nil:
		unknown.Message = "the event was not confirmed in time; it may still be written"
	case r.Partition == nowhere:
		return bus.Position{}, notSent(p.eventID, err)
	default: // the client gave it up, and it may have gone more than once before
		unknown.Message = "the event was not confirmed; it may have been written all the same"
	}
	return bus.Position{}, unknown
}

// nowhere is the partition of a record until the client has chosen one, before which it cannot go: it goes to none when
// too many wait already, or when no broker told what partitions its topic has.
const nowhere = -1

func notSent(eventID string, cause error) error {
	return &events.Error{Kind: events.Unavailable, EventID: eventID, Err: cause, Message: "the event was not sent, and will not be; try again"}
}

// Ping reports whether a broker answers.
func (p *Publisher) Ping(ctx context.Context) error { return p.client.Ping(ctx) }

// Close waits for the records in flight, as long as ctx allows, and ends the client.
func (p *Publisher) Close(ctx context.Context) error {
	defer p.client.Close()
	return p.client.Flush(ctx)
}

var errTimeout = errors.New("no broker confirmed the record in time")

// written is what became of a record.
type written struct {
	record *kgo.Record
	err    error
}

// produce begins to write one record; whoever goes away does not take it along.
func produce(ctx context.Context, client *kgo.Client, record *kgo.Record) <-chan written {
	done := make(chan written, 1)
	client.TryProduce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) { done <- written{r, err} })
	return done
}

// await waits on a timer of its own, because no option of the client bounds a record that is in flight: the client
// cannot give one up without leaving a gap in its sequence numbers.
func await(ctx context.Context, done <-chan written, timeout time.Duration) (*kgo.Record, error) {
	timer := time.NewTimer(timeout)
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
