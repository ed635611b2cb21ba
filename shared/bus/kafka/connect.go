package kafka

import (
	"context"
	"fmt"
	"os"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// connecting is how every client of ours reaches the brokers.
func connecting(cluster settings.Kafka) ([]kgo.Opt, error) {
	options := []kgo.Opt{kgo.ClientID(clientID), kgo.SeedBrokers(cluster.Brokers...)}
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
	return options, nil
}

// mechanism is how to log in; nil = not at all.
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
			c, err := credentials(ctx) // asked each time: they change while a process runs
			if err != nil {
				return aws.Auth{}, &noCredentials{err}
			}
			return aws.Auth{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken, UserAgent: clientID}, nil
		}), nil
	}
	return nil, fmt.Errorf("KAFKA_SASL_MECHANISM: %q is not known", cluster.Mechanism)
}

// noCredentials: there was nothing to log in with, so no broker has refused it.
type noCredentials struct{ error }

func (n *noCredentials) Unwrap() error { return n.error }

// environmentCredentials are those that Lambda sets, and people who have them at hand.
func environmentCredentials(context.Context) (settings.AWSCredentials, error) {
	c := settings.AWSCredentials{
		AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return c, fmt.Errorf("there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if they are temporary")
	}
	return c, nil
}
