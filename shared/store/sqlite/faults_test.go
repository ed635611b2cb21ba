package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// pragma changes the writer's connection while it is idle.
func pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	_, err := s.writer.tx.conn.ExecContext(t.Context(), "PRAGMA "+text)
	require.NoError(t, err)
}

func TestAFullDiskIsAnOutageThatPasses(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	pragma(t, s, "max_page_count = 1") // SQLite never goes below the current size
	large := request(1)
	large.Data = []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	err := s.Put(t.Context(), large)
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, "the disk is full")
	assert.NotContains(t, err.Error(), "xxx")
	_, err = s.Get(t.Context(), large.Type, large.ID)
	assert.Equal(t, events.NotFound, events.KindOf(err))
	pragma(t, s, "max_page_count = 1000000")
	require.NoError(t, s.Put(t.Context(), large))
}

func TestAFileThatMayNotBeWrittenIsAnOutageForWritersAlone(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	require.NoError(t, s.Put(t.Context(), request(1)))
	pragma(t, s, "query_only = 1")
	err := s.Put(t.Context(), request(2))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, "needs the right to read and write")
	require.NoError(t, s.Ping(t.Context()))
	pragma(t, s, "query_only = 0")
	require.NoError(t, s.Put(t.Context(), request(2)))
}

// Writes to a file that was deleted while it is open would be lost.
func TestAFileThatIsDeletedIsAnOutage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	s := open(t, path)
	require.NoError(t, s.Put(t.Context(), request(1)))
	outage := func() {
		for _, err := range []error{s.Put(t.Context(), request(2)), s.Ping(t.Context())} {
			assert.Equal(t, events.Unavailable, events.KindOf(err))
			require.ErrorContains(t, err, "deleted or moved")
		}
	}
	require.NoError(t, os.Rename(path, path+".away"))
	outage()
	require.NoError(t, os.WriteFile(path, nil, 0o600)) // another one in its place
	outage()
	require.NoError(t, os.Rename(path+".away", path))
	require.NoError(t, s.Put(t.Context(), request(2)))
	require.NoError(t, s.Ping(t.Context()))
}

func TestABusyHandleStarvesNoOther(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	busy, other := open(t, path), open(t, path)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{}, 8)
	for n := range cap(stopped) {
		go func() {
			for i := n; ctx.Err() == nil; i += cap(stopped) {
				_ = busy.Put(ctx, request(i))
			}
			stopped <- struct{}{}
		}()
	}
	for n := range 20 {
		patient, cancel := context.WithTimeout(t.Context(), time.Minute)
		assert.NoError(t, other.Put(patient, request(-1-n)))
		cancel()
	}
	stop()
	for range cap(stopped) {
		<-stopped
	}
}
