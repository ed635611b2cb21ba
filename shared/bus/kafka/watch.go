package kafka

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
)

// Status says whether a consumer works, and where it does not.
type Status struct {
	Topic      string       `json:"topic"`
	Group      string       `json:"group"`
	Joined     bool         `json:"joined"`               // the consumer group
	Partitions []int32      `json:"partitions"`           // assigned to this consumer
	Paused     []int32      `json:"paused,omitempty"`     // of those: its buffer is full, so that nothing is fetched
	Stalled    bool         `json:"stalled,omitempty"`    // different events fail in a row for an unknown reason
	Fault      string       `json:"fault,omitempty"`      // why the topic cannot be read at all
	Unreadable []Unreadable `json:"unreadable,omitempty"` // partitions that cannot be read now
	Lost       []Loss       `json:"lost,omitempty"`       // since the process started; a restart acknowledges them

	LostOffsets int64 `json:"-"` // how many they are
}

// Healthy reports whether the consumer reads all that it has to, and has lost nothing.
func (s *Status) Healthy() bool {
	return s.Joined && !s.Stalled && s.Fault == "" && len(s.Unreadable) == 0 && len(s.Lost) == 0
}

// Unreadable is a partition that cannot be read.
type Unreadable struct {
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
}

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

// consumption is one run of [Consume].
type consumption struct {
	Status   // its fields beside Topic and Group are computed when asked for, but Fault and Lost
	cluster  settings.Kafka
	consumer bus.Consumer
	options  Options
	engine   *bus.Engine
	log      *slog.Logger // of what recurs
	stop     context.CancelFunc

	mu      sync.Mutex
	failure error   // why it ended by itself
	member  *member // nil = in no group
	faulty  map[int32]fault
}

type fault struct {
	Unreadable
	at time.Time
}

func (c *consumption) enter(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.member = m
}

func (c *consumption) setFault(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Fault = text
}

// unreadableFor is how long an error counts after it occurred. One that lasts occurs with each fetch.
const unreadableFor = 30 * time.Second

func (c *consumption) unreadable(n int32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faulty == nil {
		c.faulty = map[int32]fault{}
	}
	c.faulty[n] = fault{Unreadable{n, err.Error()}, time.Now()}
}

// maxLosses is how many are shown.
const maxLosses = 100

func (c *consumption) lost(l Loss) {
	c.options.Logger.Error("offsets were lost: restore their events from a backup, or publish them again; a restart clears /readyz",
		"topic", c.Topic, "group", c.Group, "partition", l.Partition, "from", l.From, "to", l.To, "reason", l.Reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.LostOffsets += l.To - l.From
	if len(c.Lost) < maxLosses {
		c.Lost = append(c.Lost, l)
	}
}

// status must be called with the lock held.
func (c *consumption) status() Status {
	s := c.Status
	s.Lost = slices.Clone(s.Lost)
	s.Stalled = c.engine.Stalled()
	for n, f := range c.faulty {
		if time.Since(f.at) > unreadableFor {
			delete(c.faulty, n)
		} else {
			s.Unreadable = append(s.Unreadable, f.Unreadable)
		}
	}
	slices.SortFunc(s.Unreadable, func(a, b Unreadable) int { return cmp.Compare(a.Partition, b.Partition) })
	s.Partitions = []int32{}
	if m := c.member; m != nil {
		s.Joined = m.joined.Load()
		s.Partitions = slices.Sorted(maps.Keys(m.partitions))
		paused := m.client.PauseFetchPartitions(nil)[c.Topic]
		s.Paused = slices.DeleteFunc(slices.Clone(s.Partitions), func(n int32) bool { return !slices.Contains(paused, n) })
	}
	return s
}

// Watch shows a consumer while it runs. The zero value is ready for [Options]; it is for one consumer.
type Watch struct {
	mu      sync.Mutex
	running *consumption // nil = none
}

func (w *Watch) begin(c *consumption) (end func()) {
	if w == nil {
		return func() {}
	}
	set := func(to *consumption) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = to
	}
	set(c)
	return func() { set(nil) }
}

func (w *Watch) consumption() *consumption {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}

// Status is the consumer's status; ok is false while it does not run.
func (w *Watch) Status() (s Status, ok bool) {
	c := w.consumption()
	if c == nil {
		return Status{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status(), true
}

// PartitionState is a snapshot of a partition that the consumer has.
type PartitionState struct {
	Partition int32
	Paused    bool
	bus.State
}

// Partitions are snapshots of the consumer's partitions.
func (w *Watch) Partitions() (partitions []PartitionState) {
	c := w.consumption()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.member == nil {
		return nil
	}
	paused := c.status().Paused
	for n, p := range c.member.partitions {
		partitions = append(partitions, PartitionState{n, slices.Contains(paused, n), p.State()})
	}
	return partitions
}

// Lag asks the brokers how many records of each partition that the consumer has are not handled yet. It is 0 where no
// record is left to read, whatever else the log ends with. Gaps and markers before the last record are counted.
func (w *Watch) Lag(ctx context.Context) (map[int32]int64, error) {
	c := w.consumption()
	if c == nil {
		return nil, nil
	}
	c.mu.Lock()
	m := c.member
	c.mu.Unlock()
	if m == nil {
		return nil, nil
	}
	committed := m.client.CommittedOffsets()[c.Topic]
	at := map[int32]int64{}
	c.mu.Lock()
	for n, p := range m.partitions {
		handled, _, ok := p.Handled()
		if !ok {
			handled = committed[n].Offset
		}
		at[n] = handled
	}
	c.mu.Unlock()
	backlogs, err := backlogs(ctx, m.client, c.Topic, at)
	lag := map[int32]int64{}
	for n, b := range backlogs {
		lag[n] = b.events
	}
	return lag, err
}
