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
	options := append([]kgo.Opt{
		kgo.ClientID(clientID), kgo.SeedBrokers(cluster.Brokers...), kgo.WithHooks(newOutage(cluster.Brokers, logger)),
		// A partition that is resumed waits for the fetch that is under way.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500 * time.Millisecond),
	}, boundDecompression()...)
	if logger.Enabled(context.Background(), slog.LevelDebug) { // errors are returned, or logged as an outage
		lines := slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer()
		options = append(options, kgo.WithLogger(kgo.BasicLogger(lines, kgo.LogLevelInfo, nil)))
	}
	encrypted, err := cluster.TLSConfig()
	if err != nil {
		return nil, fmt.Errorf("KAFKA_TLS_CA_FILE: %w", err)
	}
	if encrypted != nil {
		options = append(options, kgo.DialTLSConfig(encrypted))
	}
	login, err := mechanism(cluster)
	if err != nil {
		return nil, err
	}
	if login != nil {
		options = append(options, kgo.SASL(login))
	}
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("Kafka client for %v: %w", cluster.Brokers, err)
	}
	return client, nil
}

var discard = slog.New(slog.DiscardHandler)

func withClient[T any](cluster settings.Kafka, do func(*kgo.Client) (T, error)) (T, error) {
	var none T
	client, err := NewClient(cluster, discard) // errors are returned
	if err != nil {
		return none, err
	}
	defer client.Close()
	return do(client)
}

// mechanism is the login; nil = none.
func mechanism(cluster settings.Kafka) (sasl.Mechanism, error) {
	switch cluster.Mechanism {
	case "":
		return nil, nil
	case settings.Plain:
		return plain.Auth{User: cluster.Username, Pass: cluster.Password}.AsMechanism(), nil
	case settings.ScramSHA256:
		return scram.Auth{User: cluster.Username, Pass: cluster.Password}.AsSha256Mechanism(), nil
	case settings.ScramSHA512:
		return scram.Auth{User: cluster.Username, Pass: cluster.Password}.AsSha512Mechanism(), nil
	case settings.AWSMSKIAM:
		credentials := cluster.AWSCredentials
		if credentials == nil {
			credentials = environmentCredentials
		}
		return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
			c, err := credentials(ctx) // each time: they change while a process runs
			if err != nil {
				return aws.Auth{}, err
			}
			return aws.Auth{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken,
				UserAgent: clientID}, nil
		}), nil
	}
	return nil, fmt.Errorf("KAFKA_SASL_MECHANISM: %q is unknown; set one of "+mechanisms, cluster.Mechanism)
}

// environmentCredentials are those that Lambda sets.
func environmentCredentials(context.Context) (settings.AWSCredentials, error) {
	c := settings.AWSCredentials{
		AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return c, fmt.Errorf("there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY," +
			" and AWS_SESSION_TOKEN if they are temporary")
	}
	return c, nil
}
