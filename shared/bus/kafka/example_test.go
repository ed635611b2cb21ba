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

// Make the topics that are missing, publish an event, and consume it with a handler that gets it as its type. When Publish
// returns without error, the event is written to all in-sync replicas.
func Example() {
	broker := kfake.MustCluster(kfake.NumBrokers(1))
	defer broker.Close()
	cluster := settings.Kafka{Brokers: broker.ListenAddrs()} // for example 127.0.0.1:9092
	ctx, cancel := context.WithCancel(context.Background())

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
	fmt.Println("published to", at.Topic, "offset", at.Offset)

	greet := bus.NewConsumer("example-group", func(_ context.Context, e events.Event[events.ContactCreated]) error {
		fmt.Println(e.Topic(), "by", e.Data.Name)
		cancel() // one is enough for an example
		return nil
	})
	deadLetters, err := kafka.NewDeadLetters(cluster, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	defer deadLetters.Close()
	if err := kafka.NewMember(cluster, greet, kafka.Options{DeadLetters: deadLetters}).Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// published to contact-created offset 0
	// contact-created by Ada Lovelace
}
