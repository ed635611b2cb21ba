package kafka

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Status is whether a member consumes its topic, and where it does not.
type Status struct {
	Topic      string       `json:"topic"`
	Group      string       `json:"group"`
	Joined     bool         `json:"joined"`               // the consumer group
	Partitions []int32      `json:"partitions"`           // assigned to this member
	Stalled    bool         `json:"stalled,omitempty"`    // different events fail in a row for an unknown reason
	Unreadable []Unreadable `json:"unreadable,omitempty"` // partitions that cannot be read now
	Lost       []Loss       `json:"lost,omitempty"`       // since the process started; a restart acknowledges them
}

// Healthy reports whether the member reads all of its partitions, and has lost nothing.
func (s *Status) Healthy() bool {
	return s.Joined && !s.Stalled && len(s.Unreadable) == 0 && len(s.Lost) == 0
}

// Unreadable is a partition that cannot be read.
type Unreadable struct {
	Partition int32  `json:"partition"` // -1 = all
	Reason    string `json:"reason"`

	at time.Time
}

// unreadableFor is how long an error counts after it occurred. One that lasts occurs with each fetch.
const unreadableFor = 30 * time.Second

// Loss is a range of offsets that the log does not hold any more, and that the group may not have handled.
type Loss struct {
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"` // exclusive
	Reason    string `json:"reason"`
}

const (
	truncated        = "the log was truncated: a broker without these records became the leader"
	deletedUnhandled = "they were deleted before they were handled: the topic's retention is too short"
	topicDeleted     = "their topic was deleted before they were handled, and with it maybe later ones"
	pastTheEnd       = "they are past the end of the log, which was truncated or replaced; it is read again from its start"
)

func (m *Member) cannotRead(n int32, err error) {
	m.set(func() { m.unreadable[n] = Unreadable{n, err.Error(), time.Now()} })
}

func (m *Member) recordLoss(l Loss) {
	m.Logger.Error("offsets were lost: restore their events from a backup, or publish them again; a restart clears /readyz",
		"topic", m.topic, "group", m.group, "partition", l.Partition, "from", l.From, "to", l.To, "reason", l.Reason)
	m.set(func() { m.lost = append(m.lost, l) })
}

// Status is the member's status.
func (m *Member) Status() Status {
	s := Status{Topic: m.topic, Group: m.group, Stalled: m.engine.Stalled(), Partitions: m.all()}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Joined, s.Lost = m.joined, slices.Clone(m.lost)
	for _, n := range slices.Sorted(maps.Keys(m.unreadable)) {
		if u := m.unreadable[n]; time.Since(u.at) < unreadableFor {
			s.Unreadable = append(s.Unreadable, u)
		}
	}
	return s
}

// Lag asks the brokers how many records of each partition that the member has are not handled yet. It is 0 where no record
// is left to read, whatever else the log ends with. Gaps and markers before the last record are counted.
func (m *Member) Lag(ctx context.Context) (map[int32]int64, error) {
	at := map[int32]int64{}
	m.set(func() {
		for n, p := range m.partitions {
			at[n], _ = p.done()
		}
	})
	if len(at) == 0 {
		return nil, nil
	}
	lag, _, _, err := lagFrom(ctx, m.client, m.topic, at)
	return lag, err
}
