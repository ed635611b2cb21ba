package store

import (
	"context"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/events"
)

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
