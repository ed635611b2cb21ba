package bench

import (
	"context"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kfake"
)

// listenOwn serves the hand-written handler on kfake as it is, which syncs each batch and its index before it answers.
func listenOwn(data string) error {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(data), kfake.SyncWrites())
	if err != nil {
		return err
	}
	brokers := cluster.ListenAddrs()
	at := settings.Kafka{Brokers: brokers}
	if _, err := kafka.MakeTopics(context.Background(), at, kafka.Topic{Name: bareTopic, Partitions: 6}); err != nil {
		return err
	}
	handler, err := bareHandler(brokers)
	if err != nil {
		return err
	}
	return serveHTTP(handler, brokers[0])
}
