package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// backlog is what a partition holds from an offset on.
type backlog struct {
	events int64     // offsets from the first readable record to the end; 0 = no record is left
	oldest time.Time // when that record was written; zero = unknown
}

// backlogs are the backlogs of partitions, from the given offsets on.
func backlogs(ctx context.Context, client *kgo.Client, topic string, from map[int32]int64) (map[int32]backlog, error) {
	admin := kadm.NewClient(client)
	starts, ends, err := bounds(ctx, admin, topic)
	if err != nil {
		return nil, err
	}
	all := map[int32]backlog{}
	var details kadm.TopicDetails
	for n, at := range from {
		if at = max(at, starts[n]); at >= ends[n] {
			all[n] = backlog{}
			continue
		}
		if details == nil {
			if details, err = admin.ListTopics(ctx, topic); err != nil {
				return nil, err
			}
		}
		first, written, err := firstReadable(ctx, client, details[topic], n, at, ends[n])
		if err != nil {
			return nil, err
		}
		all[n] = backlog{ends[n] - first, written}
	}
	return all, nil
}

// firstReadable finds the first record from an offset on: markers of transactions, aborted records and what compaction has
// removed are none. It is until if there is none before that.
func firstReadable(ctx context.Context, client *kgo.Client, topic kadm.TopicDetail, n int32, from, until int64) (offset int64,
	written time.Time, err error) {
	for size := int32(16 << 10); from < until; size = min(2*size, 1<<20) {
		fetched, next, err := fetchOnce(ctx, client, topic, n, from, size)
		tooLarge := (*kgo.ErrDecompressTooLarge)(nil)
		switch {
		case errors.As(err, &tooLarge):
			return max(from, tooLarge.Offset), time.Time{}, nil
		case err != nil:
			return 0, time.Time{}, fmt.Errorf("read %s/%d: %w", topic.Topic, n, err)
		case len(fetched.Records) > 0:
			return fetched.Records[0].Offset, fetched.Records[0].Timestamp, nil
		case next <= from: // the brokers have nothing more to show
			return until, time.Time{}, nil
		}
		from = next
	}
	return until, time.Time{}, nil
}

// fetchOnce fetches at least one batch at an offset from the partition's leader. next is the offset behind what was fetched,
// which may hold no record.
func fetchOnce(ctx context.Context, client *kgo.Client, topic kadm.TopicDetail, n int32, at int64,
	size int32) (p kgo.FetchPartition, next int64, err error) {
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = n, at, size
	wanted := kmsg.NewFetchRequestTopic()
	wanted.Topic, wanted.TopicID = topic.Topic, topic.ID
	wanted.Partitions = []kmsg.FetchRequestTopicPartition{partition}
	request := kmsg.NewPtrFetchRequest()
	request.MaxBytes, request.IsolationLevel = size, 1 // read committed
	request.Topics = []kmsg.FetchRequestTopic{wanted}
	answer, err := client.Broker(int(topic.Partitions[n].Leader)).RetriableRequest(ctx, request)
	if err != nil {
		return p, 0, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return p, 0, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return p, 0, errors.New("the broker's answer lacks the partition")
	}
	p, next = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: topic.Topic, Partition: n,
	}, &response.Topics[0].Partitions[0], boundedDecompressor(), nil)
	return p, next, p.Err
}
