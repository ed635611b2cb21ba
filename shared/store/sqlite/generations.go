package sqlite

import (
	"context"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/store"
)

// building is the pointer, if generation is the one being built; else a Conflict.
func (t *tx) building(generation int) (pointer, error) {
	at, err := t.pointer()
	if err == nil && (generation < 1 || generation != at.building) {
		err = store.NotBuilding(generation, at.building)
	}
	return at, err
}

// Generations implements [store.Generations].
func (s *Store) Generations(ctx context.Context) (living, building int, err error) {
	err = s.reads.row(ctx, "SELECT living, building FROM generations WHERE one = 1", &living, &building)
	return living, building, err
}

// Build implements [store.Generations].
func (s *Store) Build(ctx context.Context) (generation int, err error) {
	var made atomic.Int64 // not a plain variable: the job may outlive the call
	err = s.writer.do(ctx, func(t *tx) error {
		at, err := t.pointer()
		if err != nil {
			return err
		}
		if at.building != 0 {
			return store.AlreadyBuilding(at.building)
		}
		made.Store(int64(at.last + 1))
		return t.point(pointer{at.living, at.last + 1, at.last + 1})
	})
	if err != nil {
		return 0, err
	}
	return int(made.Load()), nil
}

// Switch implements [store.Generations]. The old rows are dropped in the background.
func (s *Store) Switch(ctx context.Context, generation int) error {
	return s.leave(ctx, generation, func(at pointer) pointer { return pointer{at.building, 0, at.last} })
}

// Abandon implements [store.Generations]. The rows are dropped in the background.
func (s *Store) Abandon(ctx context.Context, generation int) error {
	return s.leave(ctx, generation, func(at pointer) pointer { return pointer{at.living, 0, at.last} })
}

func (s *Store) leave(ctx context.Context, generation int, to func(pointer) pointer) error {
	err := s.writer.do(ctx, func(t *tx) error {
		at, err := t.building(generation)
		if err != nil {
			return err
		}
		return t.point(to(at))
	})
	s.sweeps.wake() // whatever became of it: sweeping looks for itself
	return err
}
