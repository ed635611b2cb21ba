package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A source topic has Kafka's default limit for batches. Dead letters have additional headers, so their topics have twice that
// limit: a record that fits at the source fits there.
const (
	topicMaxBytes      = 1_048_588
	deadLetterMaxBytes = 2 * topicMaxBytes
)

// Topic is the declaration of a topic.
type Topic struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

// Topics returns the topics that event types need: one each, and its dead-letter topic.
func Topics(types ...events.Definition) []Topic {
	var topics []Topic
	for _, t := range types {
		retention := "-1" // unlimited
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

// replicas is a topic's replication factor: wanted or, if that is 0, the number of brokers up to three.
func replicas(wanted, brokers int) int {
	if wanted > 0 {
		return wanted
	}
	return max(1, min(3, brokers))
}

// replicated is the topic's configuration for a replication factor: of three replicas, two have to be written before an event
// counts as published, so that one broker may be away.
func (t Topic) replicated(replication int) map[string]string {
	config := map[string]string{"min.insync.replicas": strconv.Itoa(min(2, max(1, replication-1)))}
	maps.Copy(config, t.Config)
	return config
}

// MakeTopics creates the missing topics, waits until they are visible, and compares all of them with their declarations.
// Existing topics are not changed. replication is the replication factor; 0 = the number of brokers, up to three. If ctx ends
// first, created topics may lack Exists.
func MakeTopics(ctx context.Context, cluster settings.Kafka, replication int, topics ...Topic) ([]TopicState, error) {
	return withClient(cluster, func(client *kgo.Client) ([]TopicState, error) {
		admin := kadm.NewClient(client)
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the brokers: %w", err)
		}
		created := map[string]bool{}
		for _, t := range topics {
			if created[t.Name], err = create(ctx, admin, cluster, t, replicas(replication, len(brokers))); err != nil {
				return nil, err
			}
		}
		for { // a new topic becomes visible a moment later
			states, err := inspect(ctx, client, cluster, replication, topics)
			if err != nil { // without the right to see a topic, waiting is of no use
				return nil, err
			}
			visible := true
			for i := range states {
				states[i].Created = created[states[i].Topic]
				visible = visible && states[i].Exists
			}
			if visible || !pause(ctx, 100*time.Millisecond) {
				return states, nil
			}
		}
	})
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

// create creates one topic, unless it exists.
func create(ctx context.Context, admin *kadm.Client, cluster settings.Kafka, t Topic, replication int) (made bool, err error) {
	config := map[string]*string{}
	for name, value := range t.replicated(replication) {
		config[name] = &value
	}
	answer, err := admin.CreateTopic(ctx, t.Partitions, int16(replication), config, t.Name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return false, denied(cluster, "Create", "topic", t.Name)
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return false, fmt.Errorf("create topic %s with %d replicas: %w: start more brokers, or set --replication",
			t.Name, replication, err)
	default:
		return false, fmt.Errorf("create topic %s with %d replicas: %w (%s)", t.Name, replication, err, answer.ErrMessage)
	}
}

// TopicState is the state of a declared topic on the cluster.
type TopicState struct {
	Topic       string            `json:"topic"`
	Exists      bool              `json:"exists"`
	Created     bool              `json:"created"` // just now
	Partitions  int               `json:"partitions"`
	Replication int               `json:"replication"`
	Config      map[string]string `json:"config,omitempty"` // what is declared of it, as it is
	Differences []Difference      `json:"differences,omitempty"`
}

// Difference is a setting of a topic that differs from its declaration, and what to do about it.
type Difference struct {
	Setting string `json:"setting"`
	Have    string `json:"have"`
	Want    string `json:"want"`
	Remedy  string `json:"remedy"`
}

// InspectTopics compares topics with their declarations. It changes nothing.
func InspectTopics(ctx context.Context, cluster settings.Kafka, replication int, topics ...Topic) ([]TopicState, error) {
	return withClient(cluster, func(client *kgo.Client) ([]TopicState, error) {
		return inspect(ctx, client, cluster, replication, topics)
	})
}

func inspect(
	ctx context.Context, client *kgo.Client, cluster settings.Kafka, replication int, topics []Topic,
) ([]TopicState, error) {
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	metadata, err := describe(ctx, client, cluster, names)
	if err != nil {
		return nil, err
	}
	replication = replicas(replication, len(metadata.Brokers))
	states := make([]TopicState, len(topics))
	for i, t := range topics {
		s := &states[i]
		s.Topic = t.Name
		at := slices.IndexFunc(metadata.Topics, func(m kmsg.MetadataResponseTopic) bool { return *m.Topic == t.Name })
		if at < 0 {
			continue
		}
		m := metadata.Topics[at]
		if err := topicFault(m, cluster); err != nil && events.KindOf(err) != events.NotFound {
			return nil, err
		}
		if len(m.Partitions) == 0 {
			continue
		}
		config, err := topicConfig(ctx, kadm.NewClient(client), cluster, t.Name)
		if err != nil {
			return nil, err
		}
		s.Exists, s.Partitions, s.Replication = true, len(m.Partitions), len(m.Partitions[0].Replicas)
		s.compare(t, config, replication, cluster.Brokers[0])
	}
	return states, nil
}

// topicConfig is the effective configuration of a topic; it is empty where the broker does not know the topic yet.
func topicConfig(ctx context.Context, admin *kadm.Client, cluster settings.Kafka, name string) (map[string]string, error) {
	described, err := admin.DescribeTopicConfigs(ctx, name)
	if err == nil && len(described) > 0 {
		err = described[0].Err
	}
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return nil, denied(cluster, "DescribeConfigs", "topic", name)
	case err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil, fmt.Errorf("describe the settings of topic %s: %w", name, err)
	}
	config := map[string]string{}
	for _, d := range described {
		for _, c := range d.Configs {
			config[c.Key] = c.MaybeValue()
		}
	}
	return config, nil
}

// compare adds the differences. More partitions or a higher replication than declared are none. Remedies name a broker.
func (s *TopicState) compare(want Topic, have map[string]string, replication int, broker string) {
	differ := func(setting, is, should, remedy string) {
		s.Differences = append(s.Differences, Difference{setting, is, should, remedy})
	}
	if s.Partitions < int(want.Partitions) {
		differ("partitions", strconv.Itoa(s.Partitions), strconv.Itoa(int(want.Partitions)), fmt.Sprintf(
			"it limits the number of workers; kafka-topics --bootstrap-server %s --alter --topic %s --partitions %d"+
				" (keys move to other partitions: let the workers finish first)", broker, s.Topic, want.Partitions))
	}
	if s.Replication < replication {
		differ("replication", strconv.Itoa(s.Replication), strconv.Itoa(replication),
			"its events are lost if these brokers are; raise it with kafka-reassign-partitions")
	}
	s.Config = map[string]string{}
	declared := want.replicated(max(replication, s.Replication)) // a broker that is away does not lower it
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		is, known := have[name]
		if s.Config[name] = is; known && is != declared[name] {
			differ(name, is, declared[name], fmt.Sprintf("kafka-configs --bootstrap-server %s --alter --topic %s --add-config %s=%s",
				broker, s.Topic, name, declared[name]))
		}
	}
}
