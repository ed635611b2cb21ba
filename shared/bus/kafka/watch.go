package kafka

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// Status is whether a consumer works, and where it does not.
type Status struct {
	Topic      string       `json:"topic"`
	Group      string       `json:"group"`
	Joined     bool         `json:"joined"`               // the consumer group
	Partitions []int32      `json:"partitions"`           // assigned to this consumer
	Stalled    bool         `json:"stalled,omitempty"`    // different events fail in a row for an unknown reason
	Fault      string       `json:"fault,omitempty"`      // why the topic cannot be read at all
	Unreadable []Unreadable `json:"unreadable,omitempty"` // partitions that cannot be read now
	Lost       []Loss       `json:"lost,omitempty"`       // since the process started; a restart acknowledges them

	LostOffsets int64 `json:"-"` // how many they are
}

// Healthy reports whether the consumer reads all of its partitions, and has lost nothing.
func (s *Status) Healthy() bool {
	return s.Joined && !s.Stalled && s.Fault == "" && len(s.Unreadable) == 0 && len(s.Lost) == 0
}

// Unreadable is a partition that cannot be read.
type Unreadable struct {
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`

	at time.Time
}

// unreadableFor is how long an error counts after it occurred. One that lasts occurs with each fetch.
const unreadableFor = 30 * time.Second

// Loss is a range of offsets that the log does not hold any more, and that this consumer may not have handled.
type Loss struct {
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"` // exclusive
	Reason    string `json:"reason"`
}

// Reasons of losses.
const (
	truncated        = "the log was truncated: a broker without these records became the leader"
	deletedUnhandled = "they were deleted before they were handled: the topic's retention is too short"
	pastTheEnd       = "they are past the end of the log, which was truncated or replaced; it is read again from its start"
)

// maxLosses is how many are shown.
const maxLosses = 100

// Watch reports the state of a running consumer. Its zero value can be used in [Options], for one consumer.
type Watch struct {
	mu      sync.Mutex
	running bool
	status  Status  // the parts that are not computed on request
	member  *member // nil = in no group
	engine  *bus.Engine
}

func (w *Watch) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *Watch) unreadable(n int32, err error) {
	w.set(func() {
		partitions := slices.DeleteFunc(w.status.Unreadable, func(u Unreadable) bool { return u.Partition == n })
		partitions = append(partitions, Unreadable{n, err.Error(), time.Now()})
		w.status.Unreadable = partitions
	})
}

func (c *consumption) recordLoss(l Loss) {
	c.Logger.Error("offsets were lost: restore their events from a backup, or publish them again; a restart clears /readyz",
		"topic", c.topic, "group", c.group, "partition", l.Partition, "from", l.From, "to", l.To, "reason", l.Reason)
	c.set(func() {
		c.status.LostOffsets += l.To - l.From
		if len(c.status.Lost) < maxLosses {
			c.status.Lost = append(c.status.Lost, l)
		}
	})
}

// Status is the consumer's status; ok is false while it does not run.
func (w *Watch) Status() (s Status, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return Status{}, false
	}
	s = w.status
	s.Lost = slices.Clone(s.Lost)
	s.Stalled = w.engine.Stalled()
	s.Unreadable = slices.DeleteFunc(slices.Clone(s.Unreadable), func(u Unreadable) bool { return time.Since(u.at) > unreadableFor })
	slices.SortFunc(s.Unreadable, func(a, b Unreadable) int { return cmp.Compare(a.Partition, b.Partition) })
	s.Partitions = []int32{}
	if m := w.member; m != nil {
		s.Joined = m.joined.Load()
		s.Partitions = slices.Sorted(maps.Keys(m.partitions))
	}
	return s, true
}

// PartitionState is a snapshot of a partition that the consumer has.
type PartitionState struct {
	Partition int32
	bus.State
}

// Partitions are snapshots of the consumer's partitions.
func (w *Watch) Partitions() (partitions []PartitionState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.member == nil {
		return nil
	}
	for n, p := range w.member.partitions {
		partitions = append(partitions, PartitionState{n, p.State()})
	}
	return partitions
}

// Lag asks the brokers how many records of each partition that the consumer has are not handled yet. It is 0 where no
// record is left to read, whatever else the log ends with. Gaps and markers before the last record are counted.
func (w *Watch) Lag(ctx context.Context) (map[int32]int64, error) {
	w.mu.Lock()
	m, topic := w.member, w.status.Topic
	w.mu.Unlock()
	if m == nil {
		return nil, nil
	}
	committed := m.client.CommittedOffsets()[topic]
	at := map[int32]int64{}
	w.set(func() {
		for n, p := range m.partitions {
			handled, _, ok := p.Handled()
			if !ok {
				handled = committed[n].Offset
			}
			at[n] = handled
		}
	})
	backlogs, err := backlogs(ctx, m.client, topic, at)
	lag := map[int32]int64{}
	for n, b := range backlogs {
		lag[n] = b.events
	}
	return lag, err
}
