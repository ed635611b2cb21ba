package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// filled returns a closed folder with n records in n batches.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, n)
	require.NoError(t, b.Close())
	return dir
}

func commit(t *testing.T, address, group string, offset int64) {
	t.Helper()
	cl := client(t, address)
	defer cl.Close()
	var os kadm.Offsets
	os.AddOffset(topic, 0, offset, -1)
	require.NoError(t, kadm.NewClient(cl).CommitAllOffsets(within(t, 20*time.Second), group, os))
}

func TestTornEndIsRemoved(t *testing.T) {
	for name, tear := range map[string]func(raw []byte) []byte{
		"cut off": func(raw []byte) []byte { return raw[:len(raw)-5] },
		"offset zeroed": func(raw []byte) []byte { // the end of a block of the disk, and the next one is written
			clear(raw[len(raw)/10*9:][:8])
			return raw
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tornEndIsRemoved(t, tear)
		})
	}
}

func tornEndIsRemoved(t *testing.T, tear func(raw []byte) []byte) {
	dir := filled(t, 10)
	crashed := image(t, dir)
	require.NoError(t, os.Remove(filepath.Join(crashed, "partitions", topic+"-0", "snapshot.json"))) // a clean close wrote it
	require.NoError(t, os.WriteFile(segmentFile(crashed), tear(must(os.ReadFile(segmentFile(crashed)))), 0o600))
	log, logged := captureLog()

	b := start(t, Options{Dir: crashed, Logger: log})
	assert.Contains(t, logged.String(), "truncating")
	produce(t, b.Address(), 9, 3)
	offsets, values := consume(t, b.Address())
	assert.Equal(t, numbers(0, 12), values)
	assert.Equal(t, int64(11), offsets[11])
	require.NoError(t, b.Close())

	b = start(t, Options{Dir: crashed})
	_, values = consume(t, b.Address())
	assert.Equal(t, append(numbers(0, 12), "end"), values)
}

func TestAKilledPartitionHasASnapshot(t *testing.T) {
	t.Parallel()
	dir := filled(t, 10)
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 10, 5) // the snapshot of the clean close lacks them
	crashed := image(t, dir)
	require.NoError(t, repair(crashed, slog.New(slog.DiscardHandler)))
	raw := must(os.ReadFile(filepath.Join(filepath.Dir(segmentFile(crashed)), "snapshot.json")))
	size := must(os.Stat(segmentFile(crashed))).Size()
	assert.JSONEq(t, fmt.Sprintf(`{"version":1,"high_watermark":15,"last_stable_offset":15,"log_start_offset":0,
		"segments":[{"base_offset":0,"size":%d}]}`, size), string(raw))
	_, values := consume(t, start(t, Options{Dir: crashed}).Address())
	assert.Equal(t, numbers(0, 15), values)
}

// A marker of a transaction may reach the disk without the batch before it, which was not acknowledged then.
func TestTornEndBeforeAMarkerIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 3)
	cl := client(t, b.Address(), kgo.TransactionalID("a"))
	require.NoError(t, cl.BeginTransaction())
	require.NoError(t, cl.ProduceSync(within(t, 20*time.Second), &kgo.Record{Topic: topic, Value: []byte("3")}).FirstErr())
	require.NoError(t, cl.EndTransaction(within(t, 20*time.Second), kgo.TryCommit))
	crashed := image(t, dir)
	raw := must(os.ReadFile(segmentFile(crashed)))
	var ends []int
	wholeBatches(raw, func(batch []byte) bool { ends = append(ends, len(batch)); return true })
	raw[len(raw)-ends[len(ends)-1]-1] ^= 1 // the end of the last batch of records
	require.NoError(t, os.WriteFile(segmentFile(crashed), raw, 0o600))
	require.NoError(t, os.Remove(journalFile(crashed))) // which would restore it
	_, values := consume(t, start(t, Options{Dir: crashed}).Address())
	assert.Equal(t, numbers(0, 3), values)
}

// A kill may leave a state log that is a new file and not synced.
func TestUnsyncedStateLogIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 3)
	commit(t, b.Address(), "g", 3)
	crashed := image(t, dir)
	file := filepath.Join(crashed, "groups.log")
	require.NoError(t, errors.Join(os.Remove(file), os.WriteFile(file, nil, 0o600)))
	offsets, err := kadm.NewClient(client(t, start(t, Options{Dir: crashed}).Address())).FetchOffsets(t.Context(), "g")
	require.NoError(t, err)
	o, _ := offsets.Lookup(topic, 0)
	assert.Equal(t, int64(3), o.At)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOtherDamageIsRefused(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, dir string){
		"flipped byte": func(t *testing.T, dir string) {
			raw := must(os.ReadFile(segmentFile(dir)))
			raw[len(raw)/2-1] ^= 1 // the end of the fifth batch
			require.NoError(t, os.WriteFile(segmentFile(dir), raw, 0o644))
		},
		"batch missing": func(t *testing.T, dir string) {
			raw := must(os.ReadFile(segmentFile(dir)))
			size := len(raw) / 10
			require.NoError(t, os.WriteFile(segmentFile(dir), append(raw[:size:size], raw[2*size:]...), 0o644))
		},
		"segment missing": func(t *testing.T, dir string) {
			raw := must(os.ReadFile(segmentFile(dir)))
			size := len(raw) / 10
			require.NoError(t, os.WriteFile(segmentFile(dir), raw[:4*size], 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(segmentFile(dir)), "5.dat"), raw[5*size:], 0o644))
		},
		"old list of topics": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "topics.json"), []byte(`{"version":1,"topics":[]}`), 0o644))
		},
		"list of topics lost": func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "topics.json")))
		},
		"cluster file lost": func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "meta.json")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a[b")
			require.NoError(t, os.Rename(filled(t, 10), dir))
			damage(t, dir)
			before := must(os.ReadFile(segmentFile(dir)))
			_, err := Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0"})
			require.ErrorContains(t, err, "log is damaged")
			assert.Equal(t, before, must(os.ReadFile(segmentFile(dir))))
		})
	}
}

func appendTo(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func TestCommitsAfterATornCommitAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 10)
	commit(t, b.Address(), "g", 3)
	crashed := image(t, dir)
	for _, torn := range []string{"groups.log", "pids.log"} {
		require.NoError(t, appendTo(filepath.Join(crashed, torn), []byte{80, 0, 0, 0, 1}))
	}

	b = start(t, Options{Dir: crashed})
	commit(t, b.Address(), "g", 7)
	again := image(t, crashed) // killed once more
	log := must(os.ReadFile(filepath.Join(again, "groups.log")))
	require.NoError(t, os.WriteFile(filepath.Join(again, "groups.log"), append(log[:len(log)-3:len(log)-3], log...),
		0o600)) // a full disk

	b = start(t, Options{Dir: again})
	offsets, err := kadm.NewClient(client(t, b.Address())).FetchOffsets(t.Context(), "g")
	require.NoError(t, err)
	o, ok := offsets.Lookup(topic, 0)
	require.True(t, ok)
	assert.Equal(t, int64(7), o.At)
}
