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

// Topics are the topics that event types need: one each, and one for its dead letters.
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

// Replication is a topic's replication factor: wanted or, if that is 0, the number of brokers up to three.
func Replication(wanted, brokers int) int {
	if wanted > 0 {
		return wanted
	}
	return max(1, min(3, brokers))
}

// Replicated is the topic with the settings for a replication factor: of three replicas, two have to be written before an
// event counts as published, so that one broker may be away.
func (t Topic) Replicated(replication int) Topic {
	config := maps.Clone(t.Config)
	if config == nil {
		config = map[string]string{}
	}
	config["min.insync.replicas"] = strconv.Itoa(min(2, max(1, replication-1)))
	t.Config = config
	return t
}

// MakeTopics creates the missing topics, waits until all brokers know them, and compares all of them with their declarations.
// Existing topics are not changed. For replication see [Replication]. If ctx ends first, created topics may lack Exists.
func MakeTopics(ctx context.Context, cluster settings.Kafka, replication int, topics ...Topic) ([]TopicState, error) {
	return withClient(cluster, func(client *kgo.Client) ([]TopicState, error) {
		admin := kadm.NewClient(client)
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the brokers: %w", err)
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
		for { // a new topic becomes visible a moment later, and at one broker before another
			states, err := inspect(ctx, client, cluster, replication, topics)
			if err != nil && len(created) > 0 {
				return nil, fmt.Errorf("created %s, but they cannot be described:\n%w", strings.Join(created, ", "), err)
			}
			if err != nil { // without the right to see a topic, waiting is of no use
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

// everywhere reports whether every broker that answers knows all topics.
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

// create creates one topic, unless it exists.
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
		return false, fmt.Errorf("topic %s cannot have %d replicas: start more brokers, or set --replication: %w",
			t.Name, replication, err)
	case answer.ErrMessage != "":
		return false, fmt.Errorf("topic %s cannot be created: %w: %s", t.Name, err, answer.ErrMessage)
	default:
		return false, fmt.Errorf("topic %s cannot be created: %w", t.Name, err)
	}
}

// TopicState is the state of a declared topic on the cluster.
type TopicState struct {
	Topic       string            `json:"topic"`
	Exists      bool              `json:"exists"`
	Created     bool              `json:"created"` // just now
	Partitions  int               `json:"partitions"`
	Replication int               `json:"replication"`
	Config      map[string]string `json:"config,omitempty"`
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

func inspect(ctx context.Context, client *kgo.Client, cluster settings.Kafka, replication int, topics []Topic) ([]TopicState,
	error) {
	var all Requirements
	for _, t := range topics {
		all.Read = append(all.Read, t.Name)
	}
	metadata, err := all.metadata(ctx, client, cluster)
	if err != nil {
		return nil, err
	}
	described := map[string]kmsg.MetadataResponseTopic{}
	for _, m := range metadata.Topics {
		described[*m.Topic] = m
	}
	replication = Replication(replication, len(metadata.Brokers))
	states := make([]TopicState, len(topics))
	var faults []error
	for i, t := range topics {
		s, m := &states[i], described[t.Name]
		s.Topic = t.Name
		if m.Topic == nil {
			continue
		}
		if err := topicFault(m, cluster); err != nil || len(m.Partitions) == 0 {
			if events.KindOf(err) != events.NotFound {
				faults = append(faults, err)
			}
			continue
		}
		s.Exists, s.Partitions, s.Replication = true, len(m.Partitions), len(m.Partitions[0].Replicas)
		config, err := topicConfig(ctx, kadm.NewClient(client), cluster, t.Name)
		if err != nil {
			faults = append(faults, err)
		} else if config != nil {
			// The topic's own replication counts: a broker that is away does not lower it.
			s.compare(t.Replicated(max(replication, s.Replication)), config, replication, cluster.Brokers[0])
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return states, nil
}

// topicConfig is the effective configuration of a topic; nil = the broker does not know it yet.
func topicConfig(ctx context.Context, admin *kadm.Client, cluster settings.Kafka, name string) (map[string]string, error) {
	described, err := admin.DescribeTopicConfigs(ctx, name)
	var configs kadm.ResourceConfig
	if err == nil {
		configs, err = described.On(name, nil)
	}
	if err == nil {
		err = configs.Err
	}
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return nil, denied(cluster, "see the settings of", "DescribeConfigs", "topic", name)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("describe the settings of topic %s: %w", name, err)
	}
	config := map[string]string{}
	for _, c := range configs.Configs {
		config[c.Key] = c.MaybeValue()
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
	var wrong, set []string
	for _, name := range slices.Sorted(maps.Keys(want.Config)) {
		is, known := have[name]
		if s.Config[name] = is; known && is != want.Config[name] {
			wrong, set = append(wrong, name), append(set, name+"="+want.Config[name])
		}
	}
	for _, name := range wrong {
		differ(name, have[name], want.Config[name], fmt.Sprintf(
			"kafka-configs --bootstrap-server %s --alter --topic %s --add-config %s", broker, s.Topic, strings.Join(set, ",")))
	}
}
