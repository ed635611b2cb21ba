package local

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// segmentOf is a folder with one segment and a syncer whose journal is started. Its functions write the segment, and restore the
// journal in a copy of the folder in which the segment has this content, as after a power cut.
func segmentOf(t *testing.T, content string) (s *syncer, file string, write func(string), restored func(left string) string) {
	dir := t.TempDir()
	file = filepath.Join(dir, "0.dat")
	write = func(content string) { require.NoError(t, os.WriteFile(file, []byte(content), 0o600)) }
	write(content)
	s = newSyncer(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, s.StartJournal())
	return s, file, write, func(left string) string {
		cut := image(t, dir)
		require.NoError(t, os.WriteFile(filepath.Join(cut, "0.dat"), []byte(left), 0o600))
		require.NoError(t, restoreJournal(cut, slog.New(slog.DiscardHandler)))
		return string(must(os.ReadFile(filepath.Join(cut, "0.dat"))))
	}
}

func extend(t *testing.T, file, text string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString(text)
	require.NoError(t, err)
}

func TestJournalRestoresWhatWasAppended(t *testing.T) {
	t.Parallel()
	s, file, _, restored := segmentOf(t, "synced ")
	for _, text := range []string{"first ", "second "} {
		extend(t, file, text)
		require.NoError(t, s.Sync())
	}
	assert.Equal(t, "synced first second ", restored("synced "))
	assert.Equal(t, "synced first second ", restored("synced \x00\x00\x00"))
	assert.Equal(t, "synced first second third", restored("synced first second third"))
	assert.Equal(t, "", restored(""), "another file")

	journal := must(os.ReadFile(journalFile(s.root)))
	require.NoError(t, os.WriteFile(journalFile(s.root), journal[:len(journal)-1], 0o600))
	assert.Equal(t, "synced first ", restored("synced "), "the torn frame was not acknowledged")
}

func TestJournalBeginsAgain(t *testing.T) {
	t.Parallel()
	s, file, _, restored := segmentOf(t, "")
	s.journal.limit = 300
	var want strings.Builder
	for range 20 {
		synced := want.String()
		for s.journal.at <= s.journal.limit {
			extend(t, file, "0123456789")
			require.NoError(t, s.Sync())
			want.WriteString("0123456789")
		}
		assert.Equal(t, want.String(), restored(synced))
		extend(t, file, "!")
		require.NoError(t, s.Sync())
		want.WriteString("!")
		assert.Equal(t, want.String(), restored(strings.TrimSuffix(want.String(), "!")), "the checkpoint synced the rest")
		assert.Equal(t, "", restored(""), "of an earlier generation")
	}
	require.NoError(t, s.Close())
	assert.Equal(t, want.String(), string(must(os.ReadFile(file))))
	assert.Less(t, must(os.Stat(journalFile(s.root))).Size(), int64(1000))
}

// A topic that is deleted and made again must not get records of the deleted one, though its file may get the inode of the other.
func TestJournalForgetsDeletedFiles(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]bool{"noticed": true, "made again at once": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, file, write, restored := segmentOf(t, "")
			extend(t, file, "old and long")
			require.NoError(t, s.Sync())
			s.suspendJournal()
			require.NoError(t, os.Remove(file))
			if between {
				require.NoError(t, s.Sync())
			}
			write("new, and longer")
			require.NoError(t, s.Sync())
			assert.Equal(t, "new, and longer", restored("new, and longer"))
			s.unjournaled.Store(0)
			extend(t, file, " and more")
			require.NoError(t, s.Sync())
			assert.Equal(t, "new, and longer and more", restored("new, and longer"))
		})
	}
}

func TestDeletingATopicSuspendsTheJournal(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Dir: t.TempDir()})
	produce(t, b.Address(), 0, 1)
	require.Zero(t, b.files.unjournaled.Load())
	_, err := kadm.NewClient(client(t, b.Address())).DeleteTopics(t.Context(), topic)
	require.NoError(t, err)
	assert.Greater(t, b.files.unjournaled.Load(), time.Now().UnixNano())
}

// A version without a journal may write to the folder in between, and a backup may have no journal to replace this one.
func TestJournalIsNotRestoredOverOtherRecords(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]int{"fewer": 2, "as many": 5, "more": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, other := t.TempDir(), t.TempDir()
			b := start(t, Options{Dir: dir})
			produce(t, b.Address(), 0, 5)
			killed := image(t, dir)
			b = start(t, Options{Dir: other})
			produce(t, b.Address(), 100, others)
			require.NoError(t, b.Close())
			require.NoError(t, os.WriteFile(segmentFile(killed), must(os.ReadFile(segmentFile(other))), 0o600))
			log, logged := captureLog()
			b = start(t, Options{Dir: killed, Logger: log})
			_, values := consume(t, b.Address())
			assert.Len(t, values, others)
			assert.Equal(t, fmt.Sprint(100), values[0])
			assert.Contains(t, logged.String(), "other records than its journal")
		})
	}
}

func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 1)
	before := must(os.Stat(segmentFile(dir))).Size()
	var at []int64 // where frames begin
	for n := range 5 {
		at = append(at, must(os.Stat(journalFile(dir))).Size())
		produce(t, b.Address(), n+1, 1)
	}
	damagedAt := func(frame int) string {
		killed := image(t, dir)
		journal := must(os.ReadFile(journalFile(killed)))
		journal[at[frame]+journalHeader+9] ^= 1
		require.NoError(t, os.WriteFile(journalFile(killed), journal, 0o600))
		return killed
	}
	killed := damagedAt(2)
	_, values := consume(t, start(t, Options{Dir: killed}).Address())
	assert.Len(t, values, 6, "the segment has all")

	killed = damagedAt(2)
	require.NoError(t, os.Truncate(segmentFile(killed), before))
	_, err := Open(t.Context(), Options{Dir: killed, Address: "127.0.0.1:0"})
	require.ErrorContains(t, err, "damaged")
	assert.Equal(t, before, must(os.Stat(segmentFile(killed))).Size(), "it stays as it is")

	killed = damagedAt(4)
	require.NoError(t, os.Truncate(segmentFile(killed), before))
	_, values = consume(t, start(t, Options{Dir: killed}).Address())
	assert.Len(t, values, 5, "the last frame may be one that was not acknowledged")
}

// Many bytes at once are not written twice.
func TestJournalLeavesOutLargeWrites(t *testing.T) {
	t.Parallel()
	s, file, _, _ := segmentOf(t, "")
	extend(t, file, strings.Repeat("x", maxJournaled+1))
	require.NoError(t, s.Sync())
	assert.Less(t, s.journal.at, int64(1000))
}

func TestJournalOfAnEarlierStartIsNotRestored(t *testing.T) {
	t.Parallel()
	s, file, write, restored := segmentOf(t, "")
	extend(t, file, "old")
	require.NoError(t, s.Sync())
	require.Equal(t, "old", restored(""))
	write("")
	require.NoError(t, newSyncer(s.root, slog.New(slog.DiscardHandler)).StartJournal())
	assert.Empty(t, restored(""))
}

// A link to nowhere in its place stands for a disk without room for it.
func TestWithoutJournalFilesAreSynced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(dir, "none", "none"), journalFile(dir)))
	log, logged := captureLog()
	var syncs atomic.Int32
	b := start(t, Options{Dir: dir, Logger: log, fsync: func(f *os.File) error {
		if f.Name() == segmentFile(dir) {
			syncs.Add(1)
		}
		return f.Sync()
	}})
	for n := range 3 {
		produce(t, b.Address(), n, 1)
	}
	assert.GreaterOrEqual(t, syncs.Load(), int32(3))
	assert.Contains(t, logged.String(), "without its journal")
	require.NoError(t, b.Close())
}
