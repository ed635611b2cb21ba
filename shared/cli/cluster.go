package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
)

const brokersUsage = "host:port,… of the brokers (KAFKA_BROKERS; by default 127.0.0.1:9092)"

// kafkaHelp is how the brokers are named, for those commands that run for long.
const kafkaHelp = "KAFKA_BROKERS says where the brokers are; KAFKA_TLS, KAFKA_TLS_CA_FILE, KAFKA_SASL_MECHANISM,\n" +
	"KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD how to get in. With AWS_MSK_IAM, STORE=dynamodb and NOTIFY=ses AWS's\n" +
	"credentials count, looked for as AWS's own tools do: AWS_ACCESS_KEY_ID, AWS_PROFILE, SSO, web identity, container, EC2.\n"

// reachTimeout is how long a command waits for an answer of the brokers.
const reachTimeout = 10 * time.Second

// cluster is the Kafka that a command talks to: a flag wins over the environment.
func (a *app) cluster(brokers string) (settings.Kafka, error) {
	cluster := a.settings.Brokers
	cluster.AWSCredentials = a.aws.login
	if brokers == "" {
		return cluster, nil
	}
	cluster.Brokers = strings.Split(brokers, ",")
	for _, b := range cluster.Brokers {
		if err := settings.Address(b); err != nil {
			return settings.Kafka{}, usageError{fmt.Errorf("--brokers: %w", err)}
		}
	}
	if err := cluster.Check(); err != nil {
		return settings.Kafka{}, usageError{err}
	}
	return cluster, nil
}

// reach returns the cluster as it can be used, and fails in plain words where the brokers or what is needed of them cannot
// be had.
func (a *app) reach(ctx context.Context, cluster settings.Kafka, needs kafka.Requirements) (settings.Kafka, error) {
	if cluster.Mechanism == settings.AWSMSKIAM {
		if _, err := a.aws.load(ctx); err != nil {
			return cluster, fmt.Errorf("KAFKA_SASL_MECHANISM=%s: %w", settings.AWSMSKIAM, err)
		}
	}
	return kafka.Preflight(ctx, cluster, a.logger, needs)
}
