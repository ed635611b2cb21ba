package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

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

// Held is what the model holds of a topic, by partition.
func (m Marks) Held(topic string) map[int32]int64 {
	held := map[int32]int64{}
	for partition, mark := range m[topic] {
		held[partition] = mark.Held
	}
	return held
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

// projectionMark is the topic under which [Marks] keep the version of the projections that made the model, as partition 0.
const projectionMark = "projection"

// CheckProjection is Unavailable, with [ErrBehind] in its chain, if the model was made by projections of another version. A model
// that has marks and no version is of version 1.
func (m Marks) CheckProjection(version int64) error {
	made := m[projectionMark][0].Held
	if made == 0 && len(m) > 0 {
		made = 1
	}
	if made == 0 || made == version {
		return nil
	}
	return events.Wrap(events.Unavailable, ErrBehind,
		"the read model was made by projections of version %d, and this program has version %d: build another with it", made, version)
}

// Projected is a read model to which projections of a version write. Put refuses a model of another version, before it would mix
// them, and notes the version in an empty one.
type Projected struct {
	Store
	Version int64

	checked atomic.Bool
}

func (p *Projected) Put(ctx context.Context, item Item) error {
	if !p.checked.Load() {
		if err := p.Check(ctx); err != nil {
			return err
		}
	}
	return p.Store.Put(ctx, item)
}

// Check does what the first Put does before it writes.
func (p *Projected) Check(ctx context.Context) error {
	marks, err := p.Marks(ctx)
	if err == nil {
		err = marks.CheckProjection(p.Version)
	}
	if _, noted := marks[projectionMark]; err == nil && !noted {
		err = p.Advance(ctx, projectionMark, map[int32]int64{}, map[int32]int64{0: p.Version})
	}
	p.checked.Store(err == nil)
	return err
}
