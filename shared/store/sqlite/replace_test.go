package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, built := filepath.Join(dir, "model.db"), filepath.Join(dir, "new.db")
	s := open(t, old)
	require.NoError(t, s.Put(t.Context(), request(1)))
	copies := map[string][]byte{}
	for _, suffix := range []string{"", "-wal", "-shm"} { // as a process leaves them that is killed
		content, err := os.ReadFile(old + suffix)
		require.NoError(t, err)
		copies[suffix] = content
	}
	require.NotEmpty(t, copies["-wal"])
	require.NoError(t, s.Close())
	for suffix, content := range copies {
		require.NoError(t, os.WriteFile(old+suffix, content, 0o600))
	}
	n := open(t, built)
	require.NoError(t, n.Put(t.Context(), request(2)))
	require.NoError(t, n.Close())
	require.NoError(t, Replace(t.Context(), built, old))
	s = open(t, old)
	_, err := s.Get(t.Context(), "request-created", "2")
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "request-created", "1")
	assert.Equal(t, events.NotFound, events.KindOf(err))
	assert.Equal(t, 1, sound(t, s))
	require.NoError(t, s.Close())

	require.NoError(t, os.WriteFile(old, []byte("no database at all, but a file of some length"), 0o600))
	require.NoError(t, open(t, built).Close())
	require.NoError(t, Replace(t.Context(), built, old), "a damaged file is replaced too")
	require.NoError(t, open(t, old).Close())
	require.NoError(t, Remove(old))
	require.NoError(t, Remove(old))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// SQLite leaves the log where it is if the disk is full when the file is closed, or another program has it open.
func TestAModelThatNeedsItsLogReplacesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, built := filepath.Join(dir, "model.db"), filepath.Join(dir, "new.db")
	s := open(t, old)
	require.NoError(t, s.Put(t.Context(), request(1)))
	require.NoError(t, s.Close())
	n := open(t, built)
	require.NoError(t, n.Put(t.Context(), request(2)))
	other, err := connect(built)
	require.NoError(t, err)
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "SELECT count(*) FROM items")
	require.NoError(t, err)
	require.NoError(t, n.Close())
	require.FileExists(t, built+"-wal")

	require.ErrorContains(t, Replace(t.Context(), built, old), "is not whole without its log")
	_, err = open(t, old).Get(t.Context(), "request-created", "1")
	require.NoError(t, err)
}
