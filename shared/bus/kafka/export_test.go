package kafka

import (
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// FirstMessage returns the first message of a login.
func FirstMessage(t *testing.T, cluster settings.Kafka) []byte {
	t.Helper()
	_, message, err := mechanism(cluster).Authenticate(t.Context(), "127.0.0.1:9098")
	require.NoError(t, err)
	return message
}

// Decompress decompresses a batch as a consuming client does.
func Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	return (&decompressor{}).Decompress(src, codec)
}

// Compare returns the differences of a topic with so many replicas where others are wanted.
func Compare(replicas int, minInSync string, wanted int) []Difference {
	s := TopicState{Replication: replicas}
	s.compare(Topic{}, []kadm.Config{{Key: "min.insync.replicas", Value: &minInSync}}, wanted)
	return s.Differences
}

// Paused returns the partitions that the member has paused.
func (m *Member) Paused() []int32 { return m.client.PauseFetchPartitions(nil)[m.topic] }

// NewPublisherThatAbandons makes a publisher whose client drops records that it holds for so long.
func NewPublisherThatAbandons(cluster settings.Kafka, after time.Duration) (*Publisher, error) {
	p, err := newProducer(cluster, discard, TopicMaxBytes, kgo.RecordDeliveryTimeout(after))
	return &Publisher{producer: p}, err
}

// Rejoin makes the member join its group again.
func (m *Member) Rejoin() { m.client.ForceRebalance() }
