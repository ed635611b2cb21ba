package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
		// A broker that lacks acknowledged events must not become the leader: they would be gone.
		"unclean.leader.election.enable": "false",
	}
}

// Replication is on how many brokers a partition shall be: wanted, or as many as there are up to three.
func Replication(wanted, brokers int) int {
	if wanted > 0 {
		return wanted
	}
	return max(1, min(3, brokers))
}

// Replicated is the topic with the settings that follow from a replication: of three copies, two have to be written before
// an event counts as published, so that one broker may be missing.
func (t Topic) Replicated(replication int) Topic {
	config := maps.Clone(t.Config)
	if config == nil {
		config = map[string]string{}
	}
	config["min.insync.replicas"] = strconv.Itoa(min(2, max(1, replication-1)))
	t.Config = config
	return t
}

// MakeTopics creates the topics that are missing, waits until all brokers know them, and then compares them all. What is
// there stays as it is. replication 0 is what the cluster can do. When ctx ends first, those that were created may lack
// Exists.
func MakeTopics(ctx context.Context, cluster settings.Kafka, replication int, topics ...Topic) ([]TopicState, error) {
	return withClient(cluster, func(client *kgo.Client) ([]TopicState, error) {
		admin := kadm.NewClient(client)
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return nil, fmt.Errorf("the brokers do not say who they are: %w", err)
		}
		replication := Replication(replication, len(brokers))
		var created []string
		for _, t := range topics {
			made, err := create(ctx, admin, cluster, t.Replicated(replication), int16(replication))
			if err != nil {
				return nil, err
			}
			if made {
				created = append(created, t.Name)
			}
		}
		for { // a topic that was created is seen a moment later, and not by all brokers at once
			states, err := inspect(ctx, client, cluster, replication, topics)
			if err != nil && len(created) > 0 {
				return nil, fmt.Errorf("created %s, but they cannot be looked at:\n%w", strings.Join(created, ", "), err)
			}
			if err != nil { // who may not see a topic waits for it in vain
				return nil, err
			}
			all := true
			for i := range states {
				states[i].Created = slices.Contains(created, states[i].Topic)
				all = all && states[i].Exists
			}
			if all && everywhere(ctx, client, brokers.NodeIDs(), topics) || !pause(ctx, 100*time.Millisecond) {
				return states, nil
			}
		}
	})
}

// everywhere reports whether every broker that answers knows all topics. One that is away does not hold up the others.
func everywhere(ctx context.Context, client *kgo.Client, brokers []int32, topics []Topic) bool {
	for _, id := range brokers {
		request := kmsg.NewPtrMetadataRequest() // of all topics
		response, err := request.RequestWith(ctx, client.Broker(int(id)))
		if err != nil {
			continue
		}
		for _, t := range topics {
			if !slices.ContainsFunc(response.Topics, func(m kmsg.MetadataResponseTopic) bool {
				return m.Topic != nil && *m.Topic == t.Name && len(m.Partitions) > 0
			}) {
				return false
			}
		}
	}
	return true
}

// pause waits; false = ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// create makes one topic unless it is there.
func create(ctx context.Context, admin *kadm.Client, cluster settings.Kafka, t Topic, replication int16) (made bool, err error) {
	config := map[string]*string{}
	for name, value := range t.Config {
		config[name] = &value
	}
	answer, err := admin.CreateTopic(ctx, t.Partitions, replication, config, t.Name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return false, denied(cluster, "create", "Create", "topic", t.Name)
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return false, fmt.Errorf("topic %s cannot be on %d brokers, there are not as many: start more, or say --replication: %w", t.Name, replication, err)
	case answer.ErrMessage != "":
		return false, fmt.Errorf("topic %s cannot be created: %w: %s", t.Name, err, answer.ErrMessage)
	default:
		return false, fmt.Errorf("topic %s cannot be created: %w", t.Name, err)
	}
}
