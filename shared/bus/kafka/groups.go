package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// GroupState is how a consumer group stands to its topic.
type GroupState struct {
	Group      string   `json:"group"`
	Topic      string   `json:"topic"`
	State      string   `json:"state"` // as Kafka names it: Stable, Empty, PreparingRebalance, Dead (there is none) ...
	Members    []string `json:"members,omitempty"`
	Lag        int64    `json:"lag"`        // events that are not committed as handled
	Committed  int64    `json:"committed"`  // the sum of the committed offsets
	Partitions int      `json:"partitions"` // of the topic
	Begun      int      `json:"begun"`      // of those, with a committed offset
}

// Groups says how groups stand to their topics, which topicOf gives by group.
func Groups(ctx context.Context, cluster settings.Kafka, topicOf map[string]string) ([]GroupState, error) {
	return withAdmin(cluster, func(admin *kadm.Client) ([]GroupState, error) {
		var groups, topics []string
		for group, topic := range topicOf {
			groups, topics = append(groups, group), append(topics, topic)
		}
		slices.Sort(groups)
		starts, err := ends(ctx, admin.ListStartOffsets, topics)
		if err != nil {
			return nil, err
		}
		ends, err := ends(ctx, admin.ListEndOffsets, topics)
		if err != nil {
			return nil, err
		}
		described, err := admin.DescribeGroups(ctx, groups...)
		for errors.Is(err, kerr.CoordinatorNotAvailable) && pause(ctx) { // until the first group is asked for there is none
			described, err = admin.DescribeGroups(ctx, groups...)
		}
		if err != nil {
			return nil, fmt.Errorf("the brokers do not say who is in the consumer groups: %w", err)
		}
		states := make([]GroupState, len(groups))
		for i, group := range groups {
			s := &states[i]
			s.Group, s.Topic, s.State = group, topicOf[group], "Dead"
			switch d := described[group]; {
			case errors.Is(d.Err, kerr.GroupAuthorizationFailed):
				return nil, denied(cluster, "see", "Describe", "group", group)
			case d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound):
				return nil, fmt.Errorf("consumer group %s: %w", group, d.Err)
			case d.State != "":
				s.State = d.State
				for _, m := range d.Members {
					s.Members = append(s.Members, m.ClientID+"@"+m.ClientHost)
				}
			}
			committed, err := admin.FetchOffsets(ctx, group)
			if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
				return nil, fmt.Errorf("consumer group %s: its offsets: %w", group, err)
			}
			s.count(starts, ends, committed)
		}
		return states, nil
	})
}

// count adds up how far the group is on its topic. Where it has committed nothing it begins at the earliest record.
func (s *GroupState) count(starts, ends kadm.ListedOffsets, committed kadm.OffsetResponses) {
	for partition, end := range ends[s.Topic] {
		s.Partitions++
		at := starts[s.Topic][partition].Offset
		if c, ok := committed.Lookup(s.Topic, partition); ok && c.At >= 0 {
			s.Begun++
			s.Committed += c.At
			at = max(at, c.At)
		}
		s.Lag += max(0, end.Offset-at)
	}
}

func ends(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string) (kadm.ListedOffsets, error) {
	offsets, err := list(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("the brokers do not say what is on the topics: %w", err)
	}
	for topic, partitions := range offsets { // one that is missing is said elsewhere
		for _, p := range partitions {
			if errors.Is(p.Err, kerr.UnknownTopicOrPartition) {
				delete(offsets, topic)
			} else if p.Err != nil {
				return nil, fmt.Errorf("topic %s/%d: %w", topic, p.Partition, p.Err)
			}
		}
	}
	return offsets, nil
}
