package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

var errFenced = errors.New("the group went on without this member, which was joining again")

// fencing is a balancer that notices when brokers do not know a member any more that joins again. The client then joins as
// another member and keeps its partitions at its own positions, although others may have handled and committed more meanwhile
// (kgo 1.22.3, handleJoinResp: UnknownMemberID). An error of the join makes it give them up instead.
type fencing struct {
	kgo.GroupBalancer
	m *Member
}

// JoinGroupMetadata is called for each attempt to join; meanwhile commits wait. Once the member is fenced, nothing is committed
// until the client has given up its partitions, too: neither what is handled meanwhile nor by a commit that waits for the join.
func (f fencing) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	if id, _ := f.m.client.GroupMetadata(); id == "" && len(current) > 0 {
		f.m.fenced.Store(true)
		f.m.set(func() {
			if f.m.cancelCommit != nil {
				f.m.cancelCommit()
			}
		})
		f.m.giveUp(f.m.all(), 0)
	}
	return f.GroupBalancer.JoinGroupMetadata(topics, current, generation)
}

func (f fencing) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	if f.m.fenced.Load() {
		return nil, errFenced
	}
	return f.GroupBalancer.ParseSyncAssignment(assignment)
}
