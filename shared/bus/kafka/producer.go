package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// producer is an idempotent client that acknowledges a record when all in-sync replicas have it.
//
// A client never accepts a topic that was deleted and created again. It is then replaced: one that only forgets the topic
// begins with sequence numbers that the brokers may take for repeats, and acknowledge unwritten.
type producer struct {
	open func() (*kgo.Client, error)

	mu     sync.Mutex
	client *kgo.Client
}

func newProducer(cluster settings.Kafka, logger *slog.Logger, more ...kgo.Opt) (*producer, error) {
	options := append([]kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), // a request publishes one event and waits for it
		kgo.RecordDeliveryTimeout(abandonAfter),
		kgo.ProduceRequestTimeout(produceTimeout),
		kgo.RequestTimeoutOverhead(answerTimeout),
		kgo.MaxBufferedBytes(maxWaitingBytes),
		// Metadata that could not be had is requested again soon: by default 5 s later, which is all that a request waits.
		kgo.MetadataMinAge(metadataMinAge),
	}, more...)
	p := &producer{open: func() (*kgo.Client, error) { return newClient(cluster, logger, options...) }}
	var err error
	p.client, err = p.open()
	return p, err
}

func (p *producer) current() *kgo.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// written is the outcome of a record.
type written struct {
	record *kgo.Record
	err    error
}

// produce begins to write one record; the end of ctx does not cancel it.
func (p *producer) produce(ctx context.Context, record *kgo.Record) <-chan written {
	done := make(chan written, 1)
	client := p.current()
	client.TryProduce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) {
		if errors.Is(err, kerr.UnknownTopicID) {
			p.replace(client)
		}
		done <- written{r, err}
	})
	return done
}

// replace replaces the client, unless another record has done so. Records of other topics that it holds are still written.
func (p *producer) replace(old *kgo.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != old || old.Context().Err() != nil {
		return
	}
	client, err := p.open()
	if err != nil {
		return // it worked before, with the same settings
	}
	p.client = client
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), abandonAfter)
		defer cancel()
		_ = old.Flush(ctx) // each record has its own outcome
		old.Close()
	}()
}
