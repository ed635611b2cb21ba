package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// GroupState is a consumer group's progress on its topic.
type GroupState struct {
	Group      string
	Topic      string
	State      string          // as Kafka names it: Stable, Empty, PreparingRebalance, Dead (it does not exist) ...
	Members    []string        // client@host
	Lag        int64           // events that are not committed as handled; 0 = no record is left to read
	Oldest     time.Time       // when the first of them was written; zero = unknown
	Committed  map[int32]int64 // offsets by partition
	Partitions int             // of the topic; 0 = it does not exist
	Lost       []Loss          // committed offsets that the log does not hold any more
}

// Groups describes groups, given their topics by group, in the order of their names.
func Groups(ctx context.Context, cluster settings.Kafka, topicOf map[string]string) ([]GroupState, error) {
	return withClient(cluster, func(client *kgo.Client) ([]GroupState, error) {
		admin := kadm.NewClient(client)
		groups := slices.Sorted(maps.Keys(topicOf))
		described, err := admin.DescribeGroups(ctx, groups...)
		// There is no coordinator until the first group is described.
		for errors.Is(err, kerr.CoordinatorNotAvailable) && pause(ctx, 100*time.Millisecond) {
			described, err = admin.DescribeGroups(ctx, groups...)
		}
		if err != nil {
			return nil, fmt.Errorf("describe the consumer groups: %w", err)
		}
		states := make([]GroupState, len(groups))
		for i, group := range groups {
			s := &states[i]
			s.Group, s.Topic, s.State = group, topicOf[group], "Dead"
			switch d := described[group]; {
			case errors.Is(d.Err, kerr.GroupAuthorizationFailed):
				return nil, denied(cluster, "Describe", "group", group)
			case d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound):
				return nil, fmt.Errorf("consumer group %s: %w", group, d.Err)
			case d.State != "":
				s.State = d.State
				for _, m := range d.Members {
					s.Members = append(s.Members, m.ClientID+"@"+m.ClientHost)
				}
			}
			if err := s.progress(ctx, client); err != nil {
				return nil, fmt.Errorf("consumer group %s: %w", group, err)
			}
		}
		return states, nil
	})
}

// progress adds how far the group is on its topic. Where it has committed nothing it begins at the earliest record.
func (s *GroupState) progress(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	committed, err := admin.FetchOffsets(ctx, s.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("its offsets: %w", err)
	}
	starts, ends, err := bounds(ctx, admin, s.Topic)
	if events.KindOf(err) == events.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	s.Partitions, s.Committed = len(ends), map[int32]int64{}
	at, epochs := map[int32]int64{}, kadm.OffsetForLeaderEpochRequest{}
	for n := range ends {
		at[n] = starts[n]
		if c, ok := committed.Lookup(s.Topic, n); ok && c.At >= 0 {
			at[n] = c.At
			s.Committed[n] = c.At
			if c.LeaderEpoch >= 0 {
				epochs.Add(s.Topic, n, c.LeaderEpoch)
			}
		}
	}
	if err := s.losses(ctx, admin, starts, at, epochs); err != nil {
		return err
	}
	backlogs, err := backlogs(ctx, client, s.Topic, at)
	for _, b := range backlogs {
		s.Lag += b.events
		if !b.oldest.IsZero() && (s.Oldest.IsZero() || b.oldest.Before(s.Oldest)) {
			s.Oldest = b.oldest
		}
	}
	return err
}

// losses adds the committed offsets that the log does not hold any more, and moves at to where a worker resumes.
func (s *GroupState) losses(
	ctx context.Context, admin *kadm.Client, starts, at map[int32]int64, epochs kadm.OffsetForLeaderEpochRequest,
) error {
	ends, err := admin.ListEndOffsets(ctx, s.Topic) // records of open transactions are there, too
	if err != nil {
		return err
	}
	var diverged kadm.OffsetsForLeaderEpochs
	if len(epochs) > 0 {
		if diverged, err = admin.OffsetForLeaderEpoch(ctx, epochs); err != nil {
			return fmt.Errorf("compare the committed offsets with the log: %w", err)
		}
	}
	for n, offset := range at {
		end, _ := ends.Lookup(s.Topic, n)
		epochEnd, known := diverged[s.Topic][n]
		switch {
		case offset < starts[n]:
			s.Lost = append(s.Lost, Loss{n, offset, starts[n], deletedUnhandled})
		case end.Err == nil && offset > end.Offset:
			s.Lost = append(s.Lost, Loss{n, end.Offset, offset, pastTheEnd})
			at[n] = starts[n]
		case known && epochEnd.Err == nil && epochEnd.EndOffset >= 0 && epochEnd.EndOffset < offset:
			s.Lost = append(s.Lost, Loss{n, epochEnd.EndOffset, offset, truncated})
			at[n] = epochEnd.EndOffset
		}
	}
	slices.SortFunc(s.Lost, func(a, b Loss) int { return int(a.Partition - b.Partition) })
	return nil
}
