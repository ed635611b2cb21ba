package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sipeat/sipeat/shared/events"
)

// Mark is how much of a topic's partition a read model holds.
type Mark struct {
	Held      int64 // every event below this offset is in the model (or was rejected)
	Committed int64 // the highest offset that a consumer group has committed, as far as Advance was called
}

// Marks are the marks of a read model, by topic and partition.
type Marks map[string]map[int32]Mark

// Marker keeps the marks of a read model, so that one which was deleted, restored from a backup or exchanged is noticed:
// the consumer groups go on at their offsets, and what they handled before is missing.
type Marker interface {
	// Advance notes that the events of a topic from one offset up to another, by partition, were handled into this model, and
	// makes durable what was put before. Call it before to is committed. from is where the consumer began or what it passed as
	// to the last time; 0 stands for the earliest event. If the model does not hold what is below from, it is behind until that
	// is rebuilt.
	Advance(ctx context.Context, topic string, from, to map[int32]int64) error
	Marks(ctx context.Context) (Marks, error)
}

// Advanced returns the marks of a topic that [Marker.Advance] changes.
func Advanced(marks map[int32]Mark, from, to map[int32]int64) map[int32]Mark {
	changed := map[int32]Mark{}
	for partition, end := range to {
		before := marks[partition]
		after := before
		if from[partition] <= after.Held {
			after.Held = max(after.Held, end)
		}
		if after.Committed = max(after.Committed, end); after != before {
			changed[partition] = after
		}
	}
	return changed
}

// Committed notes an offset that a consumer group has committed.
func (m Marks) Committed(topic string, partition int32, offset int64) {
	if m[topic] == nil {
		m[topic] = map[int32]Mark{}
	}
	mark := m[topic][partition]
	mark.Committed = max(mark.Committed, offset)
	m[topic][partition] = mark
}

// ErrBehind is in the chain of the error of a read model that does not hold what was committed.
var ErrBehind = errors.New("run `sipeat rebuild`")

// Check is Unavailable, with [ErrBehind] in its chain, if the model is behind.
func (m Marks) Check() error {
	var behind []string
	for topic, partitions := range m {
		for partition, mark := range partitions {
			if mark.Held < mark.Committed {
				behind = append(behind, fmt.Sprintf("%s/%d holds %d of %d", topic, partition, mark.Held, mark.Committed))
			}
		}
	}
	if behind == nil {
		return nil
	}
	slices.Sort(behind)
	return events.Wrap(events.Unavailable, ErrBehind, "the read model is behind the group's commits in %d partitions (%s, ...)",
		len(behind), behind[0])
}
