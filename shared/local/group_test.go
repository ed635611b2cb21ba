package local

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// member joins the group g with the shortest session.
func member(t *testing.T, address string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return client(t, address, append([]kgo.Opt{
		kgo.ConsumerGroup("g"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100 * time.Millisecond), kgo.RebalanceTimeout(time.Second),
	}, opts...)...)
}

// kfake loses the members of a group when it is killed; they rejoin and miss no record.
func TestAConsumerContinuesAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	address := b.Address()
	worker := member(t, address)
	got := make(map[string]bool)
	read := func(upTo int) {
		for ctx := within(t, 30*time.Second); len(got) < upTo; {
			fetches := worker.PollFetches(ctx)
			require.NoError(t, ctx.Err(), "missing records")
			fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
			_ = worker.CommitUncommittedOffsets(ctx) // refused once after a kill: the generation is unknown
		}
	}
	produce(t, address, 0, 5)
	read(5)
	require.NoError(t, b.Close())

	_, kill := startChild(t, dir, address)
	produce(t, address, 5, 5)
	read(10)
	kill()

	start(t, Options{Dir: dir, Address: address})
	produce(t, address, 10, 5)
	read(15)
}
