package sqlite

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
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

func TestReplaceRefusesAFileThatIsOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, built := filepath.Join(dir, "model.db"), filepath.Join(dir, "new.db")
	s := open(t, old)
	require.NoError(t, s.Put(t.Context(), request(1)))
	require.NoError(t, open(t, built).Close())
	release := stall(t, s) // it is writing
	err := Replace(t.Context(), built, old)
	release()
	require.ErrorContains(t, err, "is open in another process")
	require.NoError(t, s.Put(t.Context(), request(2)))
}

func TestAdoptTakesOverDeliveries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := filepath.Join(dir, "model.db")
	db, err := sql.Open("sqlite", old)
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE claims (id TEXT PRIMARY KEY, owner TEXT, until INTEGER, done INTEGER);
		INSERT INTO claims VALUES ('notification/n-1/smtp', '', 0, 1), ('notification/n-1/discord', '', 0, 0),
			('notification/a/b', '', 0, 1);
		PRAGMA application_id = 0x53697045; PRAGMA user_version = 1`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	c := openClaims(t, filepath.Join(dir, "claims.db"))
	for range 2 {
		require.NoError(t, c.Adopt(t.Context(), old))
	}
	for _, effect := range [][2]string{{"n-1", "smtp"}, {"a/b", ""}} {
		claim, _, err := c.Claim(t.Context(), effect[0], effect[1], time.Second)
		require.NoError(t, err)
		assert.Equal(t, store.Done, claim, effect)
	}
	claim, _, err := c.Claim(t.Context(), "n-1", "discord", time.Second)
	require.NoError(t, err)
	assert.Equal(t, store.Claimed, claim)

	current := filepath.Join(dir, "current.db")
	require.NoError(t, open(t, current).Close())
	require.NoError(t, c.Adopt(t.Context(), current))
	require.NoError(t, c.Adopt(t.Context(), filepath.Join(dir, "none.db")))
}
