package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicState is a declared topic as it stands on the cluster.
type TopicState struct {
	Topic       string            `json:"topic"`
	Exists      bool              `json:"exists"`
	Created     bool              `json:"created"` // just now
	Partitions  int               `json:"partitions"`
	Replication int               `json:"replication"`
	Config      map[string]string `json:"config,omitempty"`
	Differences []Difference      `json:"differences,omitempty"`
}

// Difference is where a topic is not as it was declared, and what to do about it.
type Difference struct {
	Setting string `json:"setting"`
	Have    string `json:"have"`
	Want    string `json:"want"`
	Remedy  string `json:"remedy"`
}

// InspectTopics compares topics with what was declared. replication 0 is what the cluster can do. It changes nothing.
func InspectTopics(ctx context.Context, cluster settings.Kafka, replication int, topics ...Topic) ([]TopicState, error) {
	return withClient(cluster, func(client *kgo.Client) ([]TopicState, error) {
		return inspect(ctx, client, cluster, replication, topics)
	})
}

var discard = slog.New(slog.DiscardHandler)

func withClient[T any](cluster settings.Kafka, do func(*kgo.Client) (T, error)) (T, error) {
	var none T
	client, err := newClient(cluster, discard) // errors are returned
	if err != nil {
		return none, err
	}
	defer client.Close()
	return do(client)
}

func inspect(ctx context.Context, client *kgo.Client, cluster settings.Kafka, replication int, topics []Topic) ([]TopicState, error) {
	var seen Requirements
	for _, t := range topics {
		seen.Read = append(seen.Read, t.Name)
	}
	metadata, err := seen.metadata(ctx, client, cluster)
	if err != nil {
		return nil, err
	}
	replication = Replication(replication, len(metadata.Brokers))
	states := make([]TopicState, len(topics))
	var faults []error
	var there []string
	for i, t := range topics {
		states[i].Topic = t.Name
		for _, m := range metadata.Topics {
			if *m.Topic != t.Name {
				continue
			}
			if err := topicFault(m, cluster); err != nil && events.KindOf(err) != events.NotFound {
				faults = append(faults, err)
			} else if len(m.Partitions) > 0 {
				states[i].Exists, states[i].Partitions, states[i].Replication = true, len(m.Partitions), len(m.Partitions[0].Replicas)
				there = append(there, t.Name)
			}
		}
	}
	configs, err := topicConfigs(ctx, kadm.NewClient(client), cluster, there)
	if err = errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	for i, t := range topics {
		if _, known := configs[t.Name]; states[i].Exists && known {
			// What follows from the copies follows from those that it has: a broker that is away makes them no fewer.
			states[i].compare(t.Replicated(max(replication, states[i].Replication)), configs[t.Name], replication, cluster.Brokers[0])
		}
	}
	return states, nil
}

func topicConfigs(ctx context.Context, admin *kadm.Client, cluster settings.Kafka, names []string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	if len(names) == 0 {
		return all, nil
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if errors.Is(err, kerr.TopicAuthorizationFailed) && len(names) > 1 { // of one of them, it is not said which
		var faults []error
		for _, name := range names {
			own, err := topicConfigs(ctx, admin, cluster, []string{name})
			maps.Copy(all, own)
			faults = append(faults, err)
		}
		return all, errors.Join(faults...)
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		return nil, denied(cluster, "see the settings of", "DescribeConfigs", "topic", names[0])
	}
	if err != nil {
		return nil, fmt.Errorf("the brokers do not say how the topics are set: %w", err)
	}
	var faults []error
	for _, d := range described {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition): // this broker has not heard of it yet
			continue
		case d.Err != nil:
			faults = append(faults, fmt.Errorf("topic %s: its settings: %w", d.Name, d.Err))
		}
		all[d.Name] = map[string]string{}
		for _, c := range d.Configs {
			all[d.Name][c.Key] = c.MaybeValue()
		}
	}
	return all, errors.Join(faults...)
}

// compare notes what differs. More partitions or copies than declared are no fault: somebody wanted more.
// Remedies name a broker.
func (s *TopicState) compare(want Topic, have map[string]string, replication int, broker string) {
	differ := func(setting, is, should, remedy string) {
		s.Differences = append(s.Differences, Difference{setting, is, should, remedy})
	}
	if s.Partitions < int(want.Partitions) {
		differ("partitions", strconv.Itoa(s.Partitions), strconv.Itoa(int(want.Partitions)), fmt.Sprintf(
			"only so many workers can share it; kafka-topics --bootstrap-server %s --alter --topic %s --partitions %d (keys move: let the workers finish first)",
			broker, s.Topic, want.Partitions))
	}
	if s.Replication < replication {
		differ("replication", strconv.Itoa(s.Replication), strconv.Itoa(replication),
			"what is on it is lost with its brokers; move it with kafka-reassign-partitions")
	}
	s.Config = map[string]string{}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(want.Config)) {
		is, known := have[name]
		if s.Config[name] = is; known && is != want.Config[name] {
			set = append(set, name+"="+want.Config[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Config)) {
		if is, known := have[name]; known && is != want.Config[name] {
			differ(name, is, want.Config[name], fmt.Sprintf("kafka-configs --bootstrap-server %s --alter --topic %s --add-config %s", broker, s.Topic, strings.Join(set, ",")))
		}
	}
}
