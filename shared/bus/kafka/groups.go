package kafka

import (
	"cmp"
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
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupState is a consumer group's progress on its topic.
type GroupState struct {
	Topic      string          `json:"topic"`
	Group      string          `json:"group"`
	State      string          `json:"state"`           // as Kafka names it: Stable, Empty, Dead (it does not exist) ...
	Partitions int             `json:"partitions"`      // of the topic; 0 = it does not exist
	Owners     []Owner         `json:"owners"`          // the members and their partitions of the topic, in the order of their ids
	Lag        int64           `json:"lag"`             // events that are not committed as handled; 0 = no record is left to read
	Oldest     time.Time       `json:"oldest,omitzero"` // when the first of them was written; zero = unknown
	Committed  map[int32]int64 `json:"-"`               // offsets by partition
	Starts     map[int32]int64 `json:"-"`               // the earliest offsets by partition
	Ends       map[int32]int64 `json:"-"`               // committed ends by partition, read before the lag
	Lost       []Loss          `json:"-"`               // committed offsets that the log does not hold any more
}

// Owner is a member of a group and what it has.
type Owner struct {
	Member     string  `json:"member"` // its id: the client's name and a random part
	Host       string  `json:"host"`
	Partitions []int32 `json:"partitions"`
}

// Groups describes groups, given their topics by group, in the order of their names.
func Groups(ctx context.Context, cluster settings.Kafka, topicOf map[string]string) ([]GroupState, error) {
	return withClient(cluster, func(client *kgo.Client) (states []GroupState, err error) {
		for _, group := range slices.Sorted(maps.Keys(topicOf)) {
			s := GroupState{Group: group, Topic: topicOf[group], Committed: map[int32]int64{}}
			err := s.describe(ctx, client)
			if errors.Is(err, kerr.GroupAuthorizationFailed) {
				err = denied(cluster, "Describe", "group", group)
			}
			if err != nil {
				return nil, fmt.Errorf("consumer group %s: %w", group, err)
			}
			states = append(states, s)
		}
		return states, nil
	})
}

func (s *GroupState) describe(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	described, err := admin.DescribeGroups(ctx, s.Group)
	for errors.Is(err, kerr.CoordinatorNotAvailable) && pause(ctx, 100*time.Millisecond) { // until the first group is described
		described, err = admin.DescribeGroups(ctx, s.Group)
	}
	d := described[s.Group]
	if err = errors.Join(err, d.Err); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return err
	}
	s.State = cmp.Or(d.State, "Dead")
	for _, m := range d.Members {
		o := Owner{Member: m.MemberID, Host: m.ClientHost}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				if t.Topic == s.Topic {
					o.Partitions = slices.Sorted(slices.Values(t.Partitions))
				}
			}
		}
		s.Owners = append(s.Owners, o)
	}
	starts, ends, err := bounds(ctx, admin, s.Topic)
	if events.KindOf(err) == events.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	s.Partitions, s.Starts, s.Ends = len(ends), starts, ends
	at, err := s.resume(ctx, admin, starts)
	if err != nil {
		return err
	}
	lag, _, oldest, err := lagFrom(ctx, client, s.Topic, at)
	for _, behind := range lag {
		s.Lag += behind
	}
	s.Oldest = oldest
	return err
}

// resume adds the committed offsets, and those that the log does not hold any more. It returns where a worker resumes: where
// the group has committed nothing, at the earliest record.
func (s *GroupState) resume(ctx context.Context, admin *kadm.Client, starts map[int32]int64) (map[int32]int64, error) {
	committed, err := admin.FetchOffsets(ctx, s.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("its offsets: %w", err)
	}
	ends, err := offsets(admin.ListEndOffsets(ctx, s.Topic)) // records of open transactions are there, too
	if err != nil {
		return nil, err
	}
	epochs := kadm.OffsetForLeaderEpochRequest{}
	for n := range starts {
		if c, ok := committed.Lookup(s.Topic, n); ok && c.At >= 0 {
			s.Committed[n] = c.At
			if c.LeaderEpoch >= 0 { // other clients commit none
				epochs.Add(s.Topic, n, c.LeaderEpoch)
			}
		}
	}
	histories, err := admin.OffsetForLeaderEpoch(ctx, epochs)
	if err != nil {
		return nil, fmt.Errorf("compare the committed offsets with the log: %w", err)
	}
	at := maps.Clone(starts)
	for _, n := range slices.Sorted(maps.Keys(s.Committed)) {
		offset := s.Committed[n]
		epoch, known := histories[s.Topic][n]
		switch {
		case offset < starts[n]:
			s.Lost = append(s.Lost, Loss{n, offset, starts[n], deletedUnhandled})
		case offset > ends[n]:
			s.Lost = append(s.Lost, Loss{n, ends[n], offset, pastTheEnd})
		case known && epoch.Err == nil && epoch.EndOffset >= 0 && epoch.EndOffset < offset:
			s.Lost = append(s.Lost, Loss{n, epoch.EndOffset, offset, truncated})
			at[n] = epoch.EndOffset
		default:
			at[n] = offset
		}
	}
	return at, nil
}

// Ends returns where the committed parts of topics end, by topic and partition. A topic that does not exist is absent.
func Ends(ctx context.Context, cluster settings.Kafka, topics ...string) (map[string]map[int32]int64, error) {
	return withClient(cluster, func(client *kgo.Client) (map[string]map[int32]int64, error) {
		listed, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topics...)
		ends := map[string]map[int32]int64{}
		listed.Each(func(o kadm.ListedOffset) {
			if o.Err == nil {
				if ends[o.Topic] == nil {
					ends[o.Topic] = map[int32]int64{}
				}
				ends[o.Topic][o.Partition] = o.Offset
			}
		})
		return ends, err
	})
}

// lagFrom counts what partitions hold from the given offsets on: the offsets from the first readable record to the end, 0 if no
// record is left. Markers of transactions, aborted records and what compaction has removed are none. first is the offset of that
// record, or the end, and oldest is when the first of all was written; zero = unknown.
func lagFrom(ctx context.Context, client *kgo.Client, topic string, from map[int32]int64) (
	lag, first map[int32]int64, oldest time.Time, err error) {
	described, starts, ends, err := describe(ctx, client, topic)
	if err != nil {
		return nil, nil, oldest, err
	}
	lag, first = map[int32]int64{}, map[int32]int64{}
	for n, at := range from {
		at = max(at, starts[n])
		fetched, err := fetchFrom(ctx, client, described, n, at, ends[n])
		unreadable, _ := errors.AsType[*kgo.ErrDecompressTooLarge](fetched.Err)
		switch {
		case unreadable != nil: // the batch counts, unread
			first[n] = max(at, unreadable.Offset)
		case err != nil, fetched.Err != nil:
			return nil, nil, oldest, fmt.Errorf("read %s/%d: %w", topic, n, cmp.Or(err, fetched.Err))
		case len(fetched.Records) > 0:
			r := fetched.Records[0]
			if first[n] = r.Offset; oldest.IsZero() || r.Timestamp.Before(oldest) {
				oldest = r.Timestamp
			}
		default:
			first[n] = ends[n]
		}
		lag[n] = ends[n] - first[n]
	}
	return lag, first, oldest, nil
}

// describe returns what [fetchFrom] needs to know of a topic.
func describe(ctx context.Context, client *kgo.Client, topic string) (
	described kadm.TopicDetail, starts, ends map[int32]int64, err error) {
	admin := kadm.NewClient(client)
	if starts, ends, err = bounds(ctx, admin, topic); err != nil {
		return described, nil, nil, err
	}
	topics, err := admin.ListTopics(ctx, topic)
	return topics[topic], starts, ends, err
}

// fetchFrom fetches from the partition's leader until a committed record or an error of the partition comes, or the end.
func fetchFrom(ctx context.Context, client *kgo.Client, topic kadm.TopicDetail, n int32, from, end int64) (
	fetched kgo.FetchPartition, err error) {
	leader := client.Broker(int(topic.Partitions[n].Leader))
	for size := int32(16 << 10); from < end; size = min(2*size, 1<<20) {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = n, from, size
		wanted := kmsg.NewFetchRequestTopic()
		wanted.Topic, wanted.TopicID, wanted.Partitions = topic.Topic, topic.ID, append(wanted.Partitions, partition)
		request := kmsg.NewPtrFetchRequest()
		request.MaxBytes, request.IsolationLevel, request.Topics = size, 1, append(request.Topics, wanted) // 1 = read committed
		answer, err := leader.RetriableRequest(ctx, request)
		if err != nil {
			return fetched, err
		}
		response := answer.(*kmsg.FetchResponse)
		if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
			return fetched, cmp.Or(kerr.ErrorForCode(response.ErrorCode), errors.New("the broker's answer lacks the partition"))
		}
		var next int64
		fetched, next = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
			Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: topic.Topic, Partition: n,
		}, &response.Topics[0].Partitions[0], boundedDecompressor(), nil)
		if fetched.Err != nil || len(fetched.Records) > 0 || next <= from { // the brokers have nothing more to show
			return fetched, nil //nolint:nilerr // the error is the partition's
		}
		from = next
	}
	return fetched, nil
}
