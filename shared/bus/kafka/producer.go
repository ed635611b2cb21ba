package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// PublishTimeout is how long a publish waits for the brokers before it reports that the event's fate is unknown.
const PublishTimeout = 5 * time.Second

const (
	// abandonAfter is when the client drops a record that it holds: later than the caller's timeout, so that a short outage
	// loses nothing, but soon enough that a long one does not fill the memory.
	abandonAfter = 30 * time.Second
	// maxWaitingBytes is how large the records may be that wait for the brokers; one more is refused.
	maxWaitingBytes = 64 << 20
	// A request that a broker does not answer within the sum of these ends its connection, so that one that died silently
	// costs publishers 5 s; the client's defaults are 10 s each.
	produceTimeout = 3 * time.Second // what the broker has for the replicas
	answerTimeout  = 2 * time.Second // and for everything else
	// flightWait bounds the wait for records in flight: their broker may not answer while that of the waiting ones does.
	flightWait = 10 * time.Millisecond
)

// producer is an idempotent client that acknowledges a record when all in-sync replicas have it.
//
// A client never accepts a topic that was deleted and created again, or a right to produce that is granted later. It is then
// replaced: one that only forgets the topic begins with sequence numbers that the brokers may take for repeats, and acknowledge
// unwritten.
type producer struct {
	open   func() (*kgo.Client, error)
	client atomic.Pointer[kgo.Client]
	gate   gate
}

func newProducer(cluster settings.Kafka, logger *slog.Logger, maxBytes int32, more ...kgo.Opt) (*producer, error) {
	p := &producer{gate: gate{maxWait: flightWait}, open: func() (*kgo.Client, error) {
		return NewClient(cluster, logger, append([]kgo.Opt{
			kgo.ProducerBatchMaxBytes(maxBytes),
			kgo.ProducerBatchCompression(kgo.NoCompression()),
			kgo.ProducerLinger(0), // a request publishes one event and waits for it
			kgo.RecordDeliveryTimeout(abandonAfter),
			kgo.ProduceRequestTimeout(produceTimeout),
			kgo.RequestTimeoutOverhead(answerTimeout),
			kgo.MaxBufferedBytes(maxWaitingBytes),
			// Metadata that could not be had is requested again soon: by default 5 s later, which is all that a request waits.
			kgo.MetadataMinAge(250 * time.Millisecond),
		}, more...)...)
	}}
	client, err := p.open()
	p.client.Store(client)
	return p, err
}

// produce begins to write one record; the end of ctx does not cancel it.
func (p *producer) produce(ctx context.Context, record *kgo.Record) <-chan kgo.ProduceResult {
	done := make(chan kgo.ProduceResult, 1)
	p.gate.enter(func() {
		client := p.client.Load()
		client.TryProduce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) {
			if errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
				p.replace(client)
			}
			done <- kgo.ProduceResult{Record: r, Err: err}
			p.gate.leave()
		})
	})
	return done
}

// replace replaces the client, unless another record has done so. Records of other topics that it holds are still written.
func (p *producer) replace(old *kgo.Client) {
	client, err := p.open()
	if err != nil {
		return // it worked before, with the same settings
	}
	if !p.client.CompareAndSwap(old, client) {
		client.Close()
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), abandonAfter)
		defer cancel()
		_ = old.Flush(ctx) // each record has its own outcome
		old.Close()
	}()
}

var errTimeout = errors.New("no broker confirmed the record in time")

// await waits on a timer of its own, because no option of the client bounds a record that is in flight: the client
// cannot give one up without leaving a gap in its sequence numbers.
func await(ctx context.Context, done <-chan kgo.ProduceResult) (*kgo.Record, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, PublishTimeout, errTimeout)
	defer cancel()
	select {
	case w := <-done:
		return w.Record, w.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
