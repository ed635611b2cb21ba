// Package kafka carries events over Kafka: [Publisher] writes them, [Consume] brings those of a topic to their consumer,
// [DeadLetters] keeps the rejected ones, [MakeTopics] makes the topics.
//
// It speaks to Apache Kafka 2.7 and later. Records are written uncompressed, because the TypeScript app's kafkajs cannot
// read the client's default, snappy; keys go to the partitions that Java's and kafkajs's default partitioners choose.
package kafka

import (
	"fmt"
	"log/slog"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kslog"
)

// clientID is by what name brokers know us, in their logs and quotas.
const clientID = "sipeat"

// newClient makes a client. Nothing is dialled yet: an address that nobody answers shows when it is used.
func newClient(cluster settings.Kafka, logger *slog.Logger, options ...kgo.Opt) (*kgo.Client, error) {
	if len(cluster.Brokers) == 0 {
		return nil, fmt.Errorf("no Kafka brokers are set: for example KAFKA_BROKERS=127.0.0.1:9092")
	}
	if logger == nil {
		logger = slog.Default()
	}
	connection, err := connecting(cluster)
	if err != nil {
		return nil, err
	}
	outage := newOutage(cluster.Brokers, logger)
	connection = append(connection, kgo.WithHooks(outage), kgo.WithLogger(kslog.New(outage.log().With("part",
		"kafka client"))))
	connection = append(connection, boundDecompression()...)
	client, err := kgo.NewClient(append(connection, options...)...)
	if err != nil {
		return nil, fmt.Errorf("Kafka client for %v: %w", cluster.Brokers, err)
	}
	return client, nil
}

var discard = slog.New(slog.DiscardHandler)

func withClient[T any](cluster settings.Kafka, do func(*kgo.Client) (T, error)) (T, error) {
	var none T
	client, err := newClient(cluster, discard) // errors are returned
	if err != nil {
		return none, err
	}
	defer client.Close()
	return do(client)
}
