package kafka_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
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
