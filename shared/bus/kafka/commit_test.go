package kafka_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
				refused.Partitions = append(refused.Partitions,
					kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.RebalanceInProgress.Code})
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
		ended <- kafka.Consume(ctx, b.Kafka, c, kafka.Options{Logger: logTo(&l, slog.LevelInfo),
			CommitInterval: time.Millisecond, StopTimeout: 600 * time.Millisecond})
	}()
	for range 20 {
		<-tries
	}
	stop()
	require.NoError(t, <-ended)
	said := len(l.with("could not be committed", "REBALANCE_IN_PROGRESS"))
	assert.True(t, 1 <= said && said < 5, "%d times", said) // once in 5 s, however slow this machine is
}
