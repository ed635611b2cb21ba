package kafka

import (
	"context"
	"math"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Where Kafka keeps what groups commit. The protocol tells the offsets but not when they were committed.
const (
	commitsTopic = "__consumer_offsets"
	commitsRead  = 2000 // records from the end of a partition; what is older is not looked for
)

// LastCommits says when each group last committed, as far as that can be read: a broker may have no such topic to show, or
// show it to administrators only, and a commit long ago is not looked for.
func LastCommits(ctx context.Context, cluster settings.Kafka, groups ...string) map[string]time.Time {
	last := map[string]time.Time{}
	_, _ = withClient(cluster, func(client *kgo.Client) (none struct{}, err error) { // what was read is true whatever came then
		admin := kadm.NewClient(client)
		starts, err := ends(ctx, admin.ListStartOffsets, []string{commitsTopic})
		if err != nil {
			return none, err
		}
		ends, err := ends(ctx, admin.ListEndOffsets, []string{commitsTopic})
		if err != nil || len(ends[commitsTopic]) == 0 {
			return none, err
		}
		from, until := map[int32]kgo.Offset{}, map[int32]int64{}
		for _, group := range groups {
			p := commitsPartition(group, len(ends[commitsTopic]))
			start, end := starts[commitsTopic][p].Offset, ends[commitsTopic][p].Offset
			if start < end {
				from[p], until[p] = kgo.NewOffset().At(max(start, end-commitsRead)), end
			}
		}
		return none, readUntil(ctx, client, map[string]map[int32]kgo.Offset{commitsTopic: from}, map[string]map[int32]int64{commitsTopic: until},
			func(r *kgo.Record) { noteCommit(last, r) })
	})
	return last
}

func noteCommit(last map[string]time.Time, r *kgo.Record) {
	var key kmsg.OffsetCommitKey
	var value kmsg.OffsetCommitValue
	const newest = 1 // version of the key of an offset; other records of the topic have higher ones
	if len(r.Value) == 0 || key.ReadFrom(r.Key) != nil || key.Version > newest || value.ReadFrom(r.Value) != nil {
		return
	}
	if at := time.UnixMilli(value.CommitTimestamp); at.After(last[key.Group]) {
		last[key.Group] = at
	}
}

// commitsPartition is where the coordinator keeps a group: Java's hashCode of its name without the sign, and 0 where an int
// cannot hold that (Kafka's Utils.abs). Names are ASCII.
func commitsPartition(group string, partitions int) int32 {
	var hash int32
	for _, c := range group {
		hash = 31*hash + c
	}
	if hash == math.MinInt32 {
		hash = 0
	}
	return max(hash, -hash) % int32(partitions)
}
