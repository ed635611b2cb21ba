package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
)

const brokersUsage = "brokers as host:port,host:port (KAFKA_BROKERS; default 127.0.0.1:9092)"

// kafkaHelp lists the settings of brokers, read model and AWS.
const kafkaHelp = "" +
	"Kafka: KAFKA_BROKERS, KAFKA_TLS, KAFKA_TLS_CA_FILE, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD.\n" +
	"Read model: STORE, the path of a SQLite file that several processes on this machine may share, or dynamodb.\n" +
	"AWS_MSK_IAM, STORE=dynamodb and NOTIFY=ses use AWS's credentials, found as AWS's own tools find them."

// serverHelp is what `sipeat api` and `sipeat worker` have in common.
const serverHelp = "" +
	"It exits with status 1 if no broker can be reached or all reject its credentials, or if a topic or permission is\n" +
	"missing, and with 2 if settings are wrong. Later failures are retried and logged. SIGTERM or Ctrl-C finishes the\n" +
	"work in hand, within 8 s, and exits with status 0.\n\n" + kafkaHelp

// reachTimeout bounds a request of a command to the brokers.
const reachTimeout = 10 * time.Second

// cluster is the Kafka cluster of a command: the flag overrides the environment.
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

// reach returns the cluster with the brokers that can be used, or an error if there are none or a requirement is not met.
func (a *app) reach(ctx context.Context, cluster settings.Kafka, needs kafka.Requirements) (settings.Kafka, error) {
	if cluster.Mechanism == settings.AWSMSKIAM {
		if _, err := a.aws.load(ctx); err != nil {
			return cluster, fmt.Errorf("KAFKA_SASL_MECHANISM=%s: %w", settings.AWSMSKIAM, err)
		}
	}
	return kafka.Preflight(ctx, cluster, a.logger, needs)
}
