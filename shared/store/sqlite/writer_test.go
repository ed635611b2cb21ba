package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

func request(n int) store.Item {
	return store.Item{Type: "request-created", ID: fmt.Sprint(n), Data: []byte("{}"), Digest: [32]byte{1},
		Labels: store.Labels{Country: "DE", City: "Berlin"}, Drinks: []string{"Cola"}}
}

// stall occupies the writer until release is called, so that what is queued meanwhile becomes one batch.
func stall(t *testing.T, w *writer) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	var once sync.Once
	go func() {
		done <- w.do(context.Background(), false, func(*tx) error {
			once.Do(func() { close(entered) })
			<-leave
			return nil
		})
	}()
	<-entered
	return func() {
		close(leave)
		require.NoError(t, <-done)
	}
}

func TestAFailedCommitFailsItsWholeBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "model.db"))
		require.NoError(t, s.Put(t.Context(), request(0)))
		release := stall(t, s.writer)
		errs := make(chan error, 3)
		for n := range 3 {
			go func() { errs <- s.Put(t.Context(), request(n)) }()
		}
		synctest.Wait()
		go s.writer.do(context.Background(), false, func(tx *tx) error { // ends the transaction without the writer's knowledge
			return tx.exec("COMMIT")
		})
		synctest.Wait()
		release()
		for range 3 {
			assert.Equal(t, events.Unavailable, events.KindOf(<-errs))
		}
		require.NoError(t, s.Put(t.Context(), request(9)), "the writer recovers")
	})
}

func TestACancelledPutReturnsAtOnceAndIsNotWritten(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	release := stall(t, s.writer)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- s.Put(ctx, request(1)) }()
	cancel()
	err := <-gone // while the writer is still occupied
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorIs(t, err, context.Canceled)
	release()
	require.NoError(t, s.Put(t.Context(), request(2)))
	_, err = s.Get(t.Context(), "request-created", "1")
	assert.Equal(t, events.NotFound, events.KindOf(err))
}

func TestReadersDoNotWaitForWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	a, b := open(t, path), open(t, path)
	release := stall(t, a.writer)
	_, err := b.List(t.Context(), store.Query{Type: "request-created", Limit: 1})
	require.NoError(t, err)
	release()
	require.NoError(t, b.Put(t.Context(), request(1)))
}

// A put and a lease wait for no disk. Advance, which comes before offsets are committed, does, and so does the end of a claim.
func TestWhatWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	const normal, full = 1, 2
	put := func(ctx context.Context, s *Store, _ *Claims) error { return s.Put(ctx, request(1)) }
	claim := func(ctx context.Context, _ *Store, c *Claims) error {
		_, _, err := c.Claim(ctx, "1", "", time.Minute)
		return err
	}
	fail := func(ctx context.Context, _ *Store, c *Claims) error { return c.Fail(ctx, "1", "", "") }
	complete := func(ctx context.Context, _ *Store, c *Claims) error { return c.Complete(ctx, "1", "") }
	advance := func(to int64) func(context.Context, *Store, *Claims) error {
		return func(ctx context.Context, s *Store, _ *Claims) error {
			return s.Advance(ctx, "topic", nil, map[int32]int64{0: to})
		}
	}
	for name, write := range map[string]struct {
		do   func(context.Context, *Store, *Claims) error
		want [2]int // of the read model, and the claims
	}{
		"put":                      {put, [2]int{normal, normal}},
		"advance":                  {advance(2), [2]int{full, normal}},
		"advance without progress": {advance(1), [2]int{full, normal}},
		"claim":                    {claim, [2]int{normal, normal}},
		"complete":                 {complete, [2]int{normal, full}},
		"fail":                     {fail, [2]int{normal, full}},
	} {
		synctest.Test(t, func(t *testing.T) {
			folder := t.TempDir()
			s, c := open(t, filepath.Join(folder, "model.db")), openClaims(t, filepath.Join(folder, "claims.db"), time.Now)
			require.NoError(t, advance(1)(t.Context(), s, c))
			var modes [2]int
			errs := make(chan error, 3)
			var releases []func()
			for i, w := range []*writer{s.writer, c.writer} {
				releases = append(releases, stall(t, w))
				go func() { // in the transaction of the write
					errs <- w.do(context.Background(), false, func(tx *tx) error {
						return tx.conn.QueryRowContext(context.Background(), "PRAGMA synchronous").Scan(&modes[i])
					})
				}()
			}
			go func() { errs <- write.do(context.Background(), s, c) }()
			synctest.Wait()
			for _, release := range releases {
				release()
			}
			for range 3 {
				require.NoError(t, <-errs)
			}
			assert.Equal(t, write.want, modes, name)
		})
	}
}

// A write that fails for an unforeseen reason fails alone: those beside it in the transaction are not at fault.
func TestAFailingWriteFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "model.db"))
		release := stall(t, s.writer)
		good, bad := make(chan error, 3), make(chan error, 1)
		for n := range 3 {
			go func() { good <- s.Put(t.Context(), request(n)) }()
		}
		go func() {
			bad <- s.writer.do(t.Context(), false, func(tx *tx) error { return tx.exec("INSERT INTO nowhere VALUES (1)") })
		}()
		synctest.Wait()
		release()
		for range 3 {
			require.NoError(t, <-good)
		}
		require.Error(t, <-bad)
	})
}
