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

// JoinGroupMetadata is called for each attempt to join; meanwhile commits wait.
func (f fencing) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	if id, _ := f.m.client.GroupMetadata(); id == "" && len(current) > 0 {
		f.m.fence()
	}
	return f.GroupBalancer.JoinGroupMetadata(topics, current, generation)
}

func (f fencing) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	if f.m.fenced.Load() {
		return nil, errFenced
	}
	return f.GroupBalancer.ParseSyncAssignment(assignment)
}

// fence ends the delivery of all partitions. Until the client has given them up, too, nothing is committed: neither what is
// handled meanwhile nor by a commit that waits for the join.
func (m *Member) fence() {
	m.fenced.Store(true)
	m.set(func() {
		if m.cancelCommit != nil {
			m.cancelCommit()
		}
	})
	m.giveUp(m.all(), 0)
}
