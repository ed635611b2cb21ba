package sqlite

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	altered := func(name, statement string, start func(path string)) string {
		path := filepath.Join(dir, name)
		start(path)
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		_, err = db.Exec(statement)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		return path
	}
	ours := func(path string) { require.NoError(t, open(t, path).Close()) }
	damaged := filepath.Join(dir, "damaged.db")
	ours(damaged)
	whole, err := os.ReadFile(damaged)
	require.NoError(t, err)
	for i := 100; i < 8192; i++ {
		whole[i] = 0xff
	}
	for path, want := range map[string]string{
		dir:                                    "must be a file in a folder that exists",
		filepath.Join(dir, "none", "model.db"): "must be a file in a folder that exists",
		write("text.db", []byte("this is text, and long enough not to be taken for an empty file")): "is not a SQLite database",
		write("damaged.db", whole):                                         "is damaged",
		altered("older.db", "PRAGMA user_version = 1", ours):               "run `sipeat rebuild --data " + dir + "`",
		altered("newer.db", "PRAGMA user_version = 99", ours):              "newer version of this program",
		altered("foreign.db", "CREATE TABLE t (x)", func(string) {}):       "is a database of another program",
		altered("marked.db", "PRAGMA application_id = 7", func(string) {}): "is a database of another program",
	} {
		s, err := Open(t.Context(), path)
		if assert.Error(t, err, path) {
			assert.Equal(t, events.Unavailable, events.KindOf(err), path)
			assert.ErrorContains(t, err, want)
			assert.ErrorContains(t, err, filepath.Dir(path))
		} else {
			s.Close()
		}
	}
	_, err = os.Stat(filepath.Join(dir, "foreign.db-wal"))
	assert.ErrorIs(t, err, os.ErrNotExist, "another program's database was touched")
}

func TestCloseLeavesOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "model.db"))
	require.NoError(t, s.Put(t.Context(), request(1)))
	_, err := s.Get(t.Context(), "request-created", "1")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1)
}

func TestOpenTakesAnyName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c=%20#ü&_pragma=x.db")
	i := request(1)
	require.NoError(t, open(t, path).Put(t.Context(), i))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = open(t, path).Get(t.Context(), i.Type, i.ID)
	require.NoError(t, err)
}

func TestOpenGivesUpOnALockedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	require.NoError(t, open(t, path).Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	keeps, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = keeps.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)
	const timeout = 100 * time.Millisecond
	start := time.Now()
	_, err = openFile(t.Context(), readModel, path, timeout)
	require.ErrorContains(t, err, "is locked by another process")
	assert.GreaterOrEqual(t, time.Since(start), timeout)
}

// A file that this user may read but not write is refused when it is opened, not at the first event.
func TestOpenNeedsTheRightToWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	require.NoError(t, open(t, path).Close())
	db, err := connect(path, "query_only(1)") // like a file that this user may not write, even for root
	require.NoError(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	f := &file{kind: readModel, path: path}
	err = f.fault(t.Context(), f.prepare(t.Context(), conn))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "needs the right to read and write")
}

func TestManyOpenANewFileAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.db")
	errs := make(chan error)
	const n = 8
	for range n {
		go func() {
			s, err := Open(context.Background(), path)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range n {
		assert.NoError(t, <-errs)
	}
}
