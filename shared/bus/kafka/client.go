// Package kafka carries events over Kafka: [Publisher] writes them, [Member] brings those of a topic to their consumer,
// [DeadLetters] keeps the rejected ones, [MakeTopics] makes the topics.
//
// It speaks to Apache Kafka 2.7 and later. Records are written uncompressed, because the TypeScript app's kafkajs cannot
// read the client's default, snappy; keys go to the partitions that Java's and kafkajs's default partitioners choose.
package kafka

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// clientID is our name in the brokers' logs and quotas.
const clientID = "sipeat"

// NewClient makes a client for a cluster, with a bound on what it decompresses. It does not dial yet.
func NewClient(cluster settings.Kafka, logger *slog.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	logger = cmp.Or(logger, slog.Default())
	encrypted, err := cluster.TLSConfig()
	if err != nil {
		return nil, fmt.Errorf("KAFKA_TLS_CA_FILE: %w", err)
	}
	limits := &decompressor{}
	options := []kgo.Opt{
		kgo.ClientID(clientID), kgo.SeedBrokers(cluster.Brokers...), kgo.WithHooks(newOutage(cluster.Brokers, logger), limits),
		kgo.WithDecompressor(limits), kgo.DialTLSConfig(encrypted),
		// A partition that is resumed waits for the fetch that is under way.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if logger.Enabled(context.Background(), slog.LevelDebug) { // errors are returned, or logged as an outage
		lines := slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer()
		options = append(options, kgo.WithLogger(kgo.BasicLogger(lines, kgo.LogLevelInfo, nil)))
	}
	if login := mechanism(cluster); login != nil {
		options = append(options, kgo.SASL(login))
	}
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("Kafka client for %v: %w", cluster.Brokers, err)
	}
	return client, nil
}

var discard = slog.New(slog.DiscardHandler)

func withClient[T any](cluster settings.Kafka, do func(*kgo.Client) (T, error)) (none T, err error) {
	client, err := NewClient(cluster, discard) // errors are returned
	if err != nil {
		return none, err
	}
	defer client.Close()
	return do(client)
}

// mechanism is the login; nil = none.
func mechanism(cluster settings.Kafka) sasl.Mechanism {
	switch cluster.Mechanism {
	case settings.Plain:
		return plain.Auth{User: cluster.Username, Pass: cluster.Password}.AsMechanism()
	case settings.ScramSHA256:
		return scram.Auth{User: cluster.Username, Pass: cluster.Password}.AsSha256Mechanism()
	case settings.ScramSHA512:
		return scram.Auth{User: cluster.Username, Pass: cluster.Password}.AsSha512Mechanism()
	case settings.AWSMSKIAM:
		return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) { // for each login: credentials change
			if cluster.AWSCredentials == nil { // in Lambda, which sets these
				return aws.Auth{AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
					SessionToken: os.Getenv("AWS_SESSION_TOKEN"), UserAgent: clientID}, nil
			}
			c, err := cluster.AWSCredentials(ctx)
			return aws.Auth{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken, UserAgent: clientID}, err
		})
	}
	return nil
}
