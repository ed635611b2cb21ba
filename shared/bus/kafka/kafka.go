// Package kafka carries events over Kafka: [Publisher] writes them, [Consume] brings those of a topic to their consumer,
// [DeadLetters] keeps the rejected ones, [EnsureTopics] makes the topics.
//
// It speaks to Apache Kafka 2.7 and later. Records are written uncompressed, because the TypeScript app's kafkajs cannot
// read the client's default, snappy; keys go to the partitions that Java's and kafkajs's default partitioners choose.
package kafka

import (
	"context"
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
	connection = append(connection, kgo.WithLogger(kslog.New(slog.New(quiet{logger.Handler()}).With("part", "kafka client"))))
	client, err := kgo.NewClient(append(connection, options...)...)
	if err != nil {
		return nil, fmt.Errorf("Kafka client for %v: %w", cluster.Brokers, err)
	}
	return client, nil
}

// quiet takes a level off what the client says at info: it tells each step of joining a group.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, quieter(level))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = quieter(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func quieter(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}
