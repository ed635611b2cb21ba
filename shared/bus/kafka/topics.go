package kafka

import (
	"context"
	"slices"
	"strconv"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
)

// A source topic takes batches of Kafka's default size. Its dead letters carry headers more, so their topic takes twice
// that; a record that fits at the source fits there.
const (
	topicMaxBytes      = 1_048_588
	deadLetterMaxBytes = 2 * topicMaxBytes
)

// Topic is a topic as it should be.
type Topic struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

// Topics are the topics that event types need: one each, and one for its dead letters.
func Topics(types ...events.Definition) []Topic {
	var topics []Topic
	for _, t := range types {
		retention := "-1" // for ever
		if t.Retention != events.Forever {
			retention = strconv.FormatInt(t.Retention.Milliseconds(), 10)
		}
		topics = append(topics,
			Topic{t.Topic, t.Partitions, config(retention, topicMaxBytes)},
			Topic{bus.DeadLetterTopic(t.Topic), t.Partitions, config("-1", deadLetterMaxBytes)})
	}
	return topics
}

func config(retention string, maxBytes int) map[string]string {
	return map[string]string{
		"cleanup.policy": "delete", "retention.ms": retention, "retention.bytes": "-1",
		"max.message.bytes": strconv.Itoa(maxBytes),
	}
}

// EnsureTopics creates the topics that are missing, with the cluster's own replication, and returns their names. Topics
// that are there stay as they are.
func EnsureTopics(ctx context.Context, cluster settings.Kafka, topics ...Topic) (created []string, err error) {
	client, err := newClient(cluster, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, t := range topics {
		made, err := create(ctx, admin, cluster, t, -1)
		if err != nil {
			return created, err
		}
		if made {
			created = append(created, t.Name)
		}
	}
	slices.Sort(created)
	return created, nil
}
