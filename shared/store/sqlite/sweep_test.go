package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func rows(t *testing.T, s *Store) (items, demand int) {
	t.Helper()
	require.NoError(t, s.reads.row(t.Context(), "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM demand)", &items, &demand))
	return items, demand
}

// fill makes more rows in the living generation, and in one being built, than one chunk deletes.
func fill(t *testing.T, s *Store) (generation int) {
	t.Helper()
	generation, err := s.Build(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.writer.do(t.Context(), func(tx *tx) error {
		for n := range 2*chunk + 1 {
			i := request(n)
			i.Drinks = []string{i.ID}
			r, err := newRow(i)
			if err != nil {
				return err
			}
			if err := tx.keep(1, r); err != nil {
				return err
			}
			if n == 0 {
				if err := tx.keep(generation, r); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	return generation
}

func TestTheOldGenerationIsDroppedAfterASwitch(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	g := fill(t, s)
	require.NoError(t, s.sweep(t.Context()))
	for _, inUse := range []int{1, g} { // which a sweep may only find out inside its transaction
		require.NoError(t, s.writer.do(t.Context(), func(tx *tx) error { return tx.drop(inUse) }))
	}
	items, _ := rows(t, s)
	require.Equal(t, 2*chunk+2, items, "what is in use is not swept")
	require.NoError(t, s.Switch(t.Context(), g))
	require.NoError(t, s.sweep(t.Context())) // beside the one that the switch has woken
	items, demand := rows(t, s)
	assert.Equal(t, [2]int{1, 1}, [2]int{items, demand})
}

func TestASweepThatWasCutShortIsDoneOnOpening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	s := open(t, path)
	g := fill(t, s)
	s.sweeps.stop() // as if the process ended right after the switch
	require.NoError(t, s.Switch(t.Context(), g))
	require.NoError(t, s.writer.do(t.Context(), func(tx *tx) error { return tx.drop(1) }))
	items, demand := rows(t, s)
	require.Equal(t, [2]int{chunk + 2, chunk + 2}, [2]int{items, demand})
	require.NoError(t, s.Close())

	again := open(t, path)
	for items > 1 { // by itself
		items, _ = rows(t, again)
	}
	require.NoError(t, again.sweep(t.Context())) // a chunk may have left demand
	items, demand = rows(t, again)
	assert.Equal(t, [2]int{1, 1}, [2]int{items, demand})
}

func TestSweepingGoesOnAfterAbandonedGenerations(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	s.sweeps.stop()
	for range 3 {
		g, err := s.Build(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Rebuild(t.Context(), g, request(1)))
		require.NoError(t, s.Abandon(t.Context(), g))
	}
	g, err := s.Build(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Put(t.Context(), request(2)))
	items, demand := rows(t, s)
	require.Equal(t, [2]int{5, 5}, [2]int{items, demand})
	require.NoError(t, s.sweep(context.Background()))
	items, demand = rows(t, s)
	assert.Equal(t, [2]int{2, 2}, [2]int{items, demand})
	require.NoError(t, s.Switch(t.Context(), g))
	_, err = s.Get(t.Context(), "request-created", "2")
	require.NoError(t, err)
}
