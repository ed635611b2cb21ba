package cli

import (
	"context"
	"strings"
	"time"

	"fmt"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
)

const brokersUsage = "host:port,… of the brokers (KAFKA_BROKERS; by default 127.0.0.1:9092)"

// kafkaHelp is how the brokers are named, for those commands that run for long.
const kafkaHelp = "KAFKA_BROKERS says where the brokers are; KAFKA_TLS, KAFKA_TLS_CA_FILE, KAFKA_SASL_MECHANISM,\n" +
	"KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD how to get in. "

// reachTimeout is how long a command waits for an answer of the brokers.
const reachTimeout = 10 * time.Second

// cluster is the Kafka that a command talks to: a flag wins over the environment.
func (a *app) cluster(brokers string) (settings.Kafka, error) {
	cluster := a.settings.Brokers
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

// reach fails in plain words where the brokers or what is needed of them cannot be had.
func (a *app) reach(ctx context.Context, cluster settings.Kafka, needs kafka.Needs) error {
	return kafka.Reach(ctx, cluster, a.logger, needs)
}
