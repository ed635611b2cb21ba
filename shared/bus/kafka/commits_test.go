package kafka_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka's own: Utils.abs(groupId.hashCode()) % 50.
func TestCommitsAreLookedForWhereKafkaKeepsThem(t *testing.T) {
	for group, partition := range map[string]int32{
		"":                             0,
		"sipeat-contact-consumer":      24, // hashCode 81489074
		"sipeat-machine-consumer":      33, // 1526040683
		"sipeat-request-consumer":      19, // -1157403869
		"sipeat-notification-consumer": 13, // -1101748663
		"polygenelubricants":           0,  // -2147483648, which has no positive
	} {
		assert.Equal(t, partition, kafka.CommitsPartition(group, 50), group)
	}
}

// kfake has no topic of commits, so this is for a real Kafka. Of twelve groups some have a negative hash.
func TestTheLastCommitOfEachGroupIsFound(t *testing.T) {
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("set KAFKA_BROKERS=host:port to the brokers of a Kafka that may be written to")
	}
	b := connect(t, strings.Split(brokers, ","))
	b.create(1)
	offsets := kadm.Offsets{}
	offsets.AddOffset(b.topic, 0, 1, -1)
	for range 12 {
		group := "test-" + uuid.NewString()
		_, err := b.admin.CommitOffsets(t.Context(), group, offsets)
		require.NoError(t, err)
		found := kafka.LastCommits(t.Context(), b.Kafka, group) // one by one: several look into several partitions
		assert.WithinDuration(t, time.Now(), found[group], time.Minute, group)
	}
}

// While a group rebalances its coordinator takes no offsets, and each try again is no news.
func TestACommitThatFailsIsSaidOnceInAWhile(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.write(moved(0, "a", 1))
	tries := make(chan struct{}, 1000)
	b.fake.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.fake.KeepControl()
		commit := req.(*kmsg.OffsetCommitRequest)
		response := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, topic := range commit.Topics {
			refused := kmsg.OffsetCommitResponseTopic{Topic: topic.Topic, TopicID: topic.TopicID}
			for _, p := range topic.Partitions {
				refused.Partitions = append(refused.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.RebalanceInProgress.Code})
			}
			response.Topics = append(response.Topics, refused)
		}
		tries <- struct{}{}
		return response, nil, true
	})
	var l lines
	c := bus.NewConsumer(b.group, newDiary(t).handler)
	c.Topic = b.topic
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- kafka.Consume(ctx, b.Kafka, c, kafka.Options{Logger: logTo(&l, slog.LevelInfo), CommitInterval: time.Millisecond, StopTimeout: 600 * time.Millisecond})
	}()
	for range 20 {
		<-tries
	}
	stop()
	require.NoError(t, <-ended)
	said := len(l.with("could not be committed", "REBALANCE_IN_PROGRESS"))
	assert.True(t, 1 <= said && said < 5, "%d times", said) // once in 5 s, however slow this machine is
}
