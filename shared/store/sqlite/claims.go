package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/store"
)

// Claim implements [store.Claims].
func (s *Store) Claim(ctx context.Context, id string, lease time.Duration) (store.Claim, time.Duration, error) {
	if err := store.CheckClaim(id, lease); err != nil {
		return store.Held, 0, err
	}
	var became, left atomic.Int64 // not plain variables: the job may outlive the call
	err := s.writer.do(ctx, func(t *tx) error {
		c, l, err := t.claim(id, s.owner, s.clock(), lease)
		became.Store(int64(c))
		left.Store(int64(l))
		return err
	})
	if err != nil {
		return store.Held, 0, err
	}
	return store.Claim(became.Load()), time.Duration(left.Load()), nil
}

func (t *tx) claim(id, owner string, now time.Time, lease time.Duration) (store.Claim, time.Duration, error) {
	var until int64
	var done bool
	err := t.stmt.claimed.QueryRow(id).Scan(&until, &done)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return store.Held, 0, err
	case err == nil && done:
		return store.Done, 0, nil
	case err == nil && now.UnixMilli() < until && until <= store.LastHonest(now, lease).UnixMilli():
		return store.Held, time.UnixMilli(until).Sub(now), nil
	}
	_, err = t.stmt.claim.Exec(id, owner, now.Add(lease+time.Millisecond-1).UnixMilli(), false)
	return store.Claimed, 0, err
}

// Complete implements [store.Claims].
func (s *Store) Complete(ctx context.Context, id string) error {
	if err := store.CheckClaim(id, time.Millisecond); err != nil {
		return err
	}
	return s.writer.do(ctx, func(t *tx) error {
		_, err := t.stmt.claim.Exec(id, s.owner, 0, true)
		return err
	})
}

// Release implements [store.Claims].
func (s *Store) Release(ctx context.Context, id string) error {
	if err := store.CheckClaim(id, time.Millisecond); err != nil {
		return err
	}
	return s.writer.do(ctx, func(t *tx) error {
		_, err := t.stmt.release.Exec(id, s.owner)
		return err
	})
}
