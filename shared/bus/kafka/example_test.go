package kafka_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kfake"
)

// exampleCluster stands for your brokers: settings.Kafka{Brokers: []string{"127.0.0.1:9092"}}.
func exampleCluster() (cluster settings.Kafka, closeCluster func()) {
	broker := kfake.MustCluster(kfake.NumBrokers(1))
	return settings.Kafka{Brokers: broker.ListenAddrs()}, broker.Close
}

// Make an event, make its topic if it is missing, and publish it. When Publish returns without error, the event is
// written to all in-sync replicas.
func ExamplePublisher_Publish() {
	cluster, closeCluster := exampleCluster()
	defer closeCluster()
	ctx := context.Background()

	if _, err := kafka.MakeTopics(ctx, cluster, kafka.Topics(events.Catalogue()...)...); err != nil {
		log.Fatal(err)
	}
	publisher, err := kafka.NewPublisher(cluster, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = publisher.Close(ctx) }()

	event, err := events.New(events.ContactCreated{Contact: events.Contact{
		Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "A machine, please.",
	}})
	if err != nil {
		log.Fatal(err) // names every field that is not acceptable
	}
	at, err := publisher.Publish(ctx, event)
	if err != nil {
		log.Fatal(err) // the event's fate is not known; the same event may be published again
	}
	fmt.Println(at.Topic, "offset", at.Offset)
	// Output: contact-created offset 0
}

// Consume the events of a topic, each with a handler that gets it as its type. It runs until ctx is done.
func ExampleConsume() {
	cluster, closeCluster := exampleCluster()
	defer closeCluster()
	publishSomething(cluster)
	ctx, cancel := context.WithCancel(context.Background())

	greet := bus.NewConsumer("example-group", func(_ context.Context, e events.Event[events.ContactCreated]) error {
		fmt.Println(e.Topic(), "by", e.Data.Name)
		cancel() // one is enough for an example
		return nil
	})
	if err := kafka.Consume(ctx, cluster, greet, kafka.Options{}); err != nil {
		log.Fatal(err)
	}
	// Output: contact-created by Ada Lovelace
}

func publishSomething(cluster settings.Kafka) {
	ctx := context.Background()
	if _, err := kafka.MakeTopics(ctx, cluster, kafka.Topics(events.Catalogue()...)...); err != nil {
		log.Fatal(err)
	}
	publisher, err := kafka.NewPublisher(cluster, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = publisher.Close(ctx) }()
	event, err := events.New(events.ContactCreated{Contact: events.Contact{
		Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "A machine, please.",
	}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := publisher.Publish(ctx, event); err != nil {
		log.Fatal(err)
	}
}
