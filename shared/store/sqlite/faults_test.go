package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	require.ErrorContains(t, err, "the read model cannot be written: the disk is full")
	assert.NotContains(t, err.Error(), "xxx")
	_, err = s.Get(t.Context(), large.Type, large.ID)
	assert.Equal(t, events.NotFound, events.KindOf(err))
	pragma(t, s, "max_page_count = 1000000")
	require.NoError(t, s.Put(t.Context(), large))
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
			shown, _ := errors.AsType[*events.Error](err)
			assert.NotContains(t, shown.Message, path, "callers of the API see it")
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
