package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A source topic has Kafka's default limit for batches. Dead letters have additional headers, so their topics have twice that
// limit: a record that fits at the source fits there.
const (
	TopicMaxBytes      = 1_048_588
	deadLetterMaxBytes = 2 * TopicMaxBytes
)

// Topic is the declaration of a topic.
type Topic struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

// Topics returns the topics that event types need: one each, its dead-letter topic, and one audit topic.
func Topics(types ...events.Definition) (topics []Topic) {
	add := func(name string, partitions int32, retention time.Duration, maxBytes int) {
		config := map[string]string{
			"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": strconv.Itoa(maxBytes),
			// A broker that lacks acknowledged events must not become the leader: they would be gone.
			"unclean.leader.election.enable": "false",
		}
		if retention != events.Forever {
			config["retention.ms"] = strconv.FormatInt(retention.Milliseconds(), 10)
		}
		topics = append(topics, Topic{name, partitions, config})
	}
	for _, t := range types {
		add(t.Topic, t.Partitions, t.Retention, TopicMaxBytes)
		add(bus.DeadLetterTopic(t.Topic), t.Partitions, events.Forever, deadLetterMaxBytes)
	}
	add(bus.AuditTopic, 1, events.Forever, TopicMaxBytes)
	return topics
}

// replicated is the topic's configuration for a replication factor: of three replicas, two have to be written before an event
// counts as published, so that one broker may be away.
func (t Topic) replicated(replication int) map[string]string {
	config := map[string]string{"min.insync.replicas": strconv.Itoa(min(2, max(1, replication-1)))}
	maps.Copy(config, t.Config)
	return config
}

// TopicState is the state of a declared topic on the cluster.
type TopicState struct {
	Topic       string       `json:"topic"`
	Exists      bool         `json:"exists"`
	Created     bool         `json:"created"` // just now
	Partitions  int          `json:"partitions"`
	Replication int          `json:"replication"`
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is a setting of a topic that differs from its declaration, and what to do about it.
type Difference struct {
	Setting string `json:"setting"`
	Have    string `json:"have"`
	Want    string `json:"want"`
	Remedy  string `json:"remedy"`
}

// MakeTopics creates the missing topics, on up to three brokers, waits until they are visible, and compares all of them with
// their declarations. Existing topics are not changed.
func MakeTopics(ctx context.Context, cluster settings.Kafka, topics ...Topic) ([]TopicState, error) {
	return topicStates(ctx, cluster, topics, admin.create)
}

// InspectTopics compares topics with their declarations. It changes nothing.
func InspectTopics(ctx context.Context, cluster settings.Kafka, topics ...Topic) ([]TopicState, error) {
	return topicStates(ctx, cluster, topics, admin.inspect)
}

func topicStates(ctx context.Context, cluster settings.Kafka, topics []Topic,
	state func(a admin, ctx context.Context, t Topic, replication int) (TopicState, error)) ([]TopicState, error) {
	return withClient(cluster, func(client *kgo.Client) (states []TopicState, err error) {
		a := admin{kadm.NewClient(client), cluster}
		metadata, err := a.BrokerMetadata(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the brokers: %w", err)
		}
		for _, t := range topics {
			s, err := state(a, ctx, t, max(1, min(3, len(metadata.Brokers))))
			if err != nil {
				return nil, err
			}
			states = append(states, s)
		}
		return states, nil
	})
}

// pause waits; false = ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// admin makes requests about single topics, so that an error of authorization belongs to one.
type admin struct {
	*kadm.Client
	cluster settings.Kafka
}

// create creates a topic, unless it exists, and waits until it is visible.
func (a admin) create(ctx context.Context, t Topic, replication int) (s TopicState, err error) {
	config := map[string]*string{}
	for name, value := range t.replicated(replication) {
		config[name] = &value
	}
	answer, failure := a.CreateTopic(ctx, t.Partitions, int16(replication), config, t.Name)
	switch {
	case failure == nil, errors.Is(failure, kerr.TopicAlreadyExists):
	case errors.Is(failure, kerr.TopicAuthorizationFailed), errors.Is(failure, kerr.ClusterAuthorizationFailed):
		return s, denied(a.cluster, "Create", "topic", t.Name)
	default:
		return s, fmt.Errorf("create topic %s with %d replicas: %w (%s)", t.Name, replication, failure, answer.ErrMessage)
	}
	for again := true; err == nil && !s.Exists && again; again = pause(ctx, 100*time.Millisecond) {
		s, err = a.inspect(ctx, t, replication)
	}
	s.Created = failure == nil
	return s, err
}

func (a admin) inspect(ctx context.Context, t Topic, replication int) (TopicState, error) {
	s := TopicState{Topic: t.Name}
	found, err := a.topic(ctx, t.Name)
	if events.KindOf(err) == events.NotFound || err == nil && len(found.Partitions) == 0 {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	described, err := a.DescribeTopicConfigs(ctx, t.Name)
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return s, denied(a.cluster, "DescribeConfigs", "topic", t.Name)
	case err != nil:
		return s, fmt.Errorf("describe the settings of topic %s: %w", t.Name, err)
	}
	s.Exists, s.Partitions, s.Replication = true, len(found.Partitions), len(found.Partitions[0].Replicas)
	have, _ := described.On(t.Name, nil) // without settings where this broker does not know the topic yet
	s.compare(t, have.Configs, replication)
	return s, nil
}

// compare adds the differences. More partitions or a higher replication than declared are none.
func (s *TopicState) compare(want Topic, have []kadm.Config, replication int) {
	differ := func(setting string, is, should any, remedy string) {
		s.Differences = append(s.Differences, Difference{setting, fmt.Sprint(is), fmt.Sprint(should), remedy})
	}
	if s.Partitions < int(want.Partitions) {
		differ("partitions", s.Partitions, want.Partitions, fmt.Sprintf("it limits the number of workers; kafka-topics --alter"+
			" --topic %s --partitions %d (keys move to other partitions: let the workers finish first)", s.Topic, want.Partitions))
	}
	if s.Replication < replication {
		differ("replication", s.Replication, replication,
			"its events are lost if these brokers are; raise it with kafka-reassign-partitions")
	}
	declared := want.replicated(max(replication, s.Replication)) // a broker that is away does not lower it
	for _, c := range have {
		if should, ok := declared[c.Key]; ok && should != c.MaybeValue() {
			differ(c.Key, c.MaybeValue(), should, "kafka-configs --alter --topic "+s.Topic+" --add-config "+c.Key+"="+should)
		}
	}
}

// BrokerFaults says which settings of the brokers break a promise.
func BrokerFaults(ctx context.Context, cluster settings.Kafka) ([]Difference, error) {
	return withClient(cluster, func(client *kgo.Client) (faults []Difference, err error) {
		admin := kadm.NewClient(client)
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the brokers: %w", err)
		}
		described, err := admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()[0])
		if errors.Is(err, kerr.ClusterAuthorizationFailed) {
			return nil, denied(cluster, "DescribeConfigs", "cluster", "kafka-cluster")
		}
		if err != nil {
			return nil, fmt.Errorf("describe the settings of the brokers: %w", err)
		}
		have := map[string]string{}
		for _, c := range described[0].Configs {
			have[c.Key] = c.MaybeValue()
		}
		const replication = "offsets.topic.replication.factor"
		if have["auto.create.topics.enable"] == "true" {
			faults = append(faults, Difference{"auto.create.topics.enable", "true", "false",
				"a deleted or misspelt topic comes into being with other partitions and replicas, and events go there"})
		}
		if have[replication] == "1" && len(brokers) >= 3 {
			faults = append(faults, Difference{replication, "1", "3",
				"the groups' offsets are lost with one broker; raise the replicas of __consumer_offsets by kafka-reassign-partitions"})
		}
		return faults, nil
	})
}
