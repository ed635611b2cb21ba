package local

import (
	"encoding/binary"
	"hash/crc32"
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

func TestTornEndOpensWithWhatIsWhole(t *testing.T) {
	dir := filled(t, 10)
	crashed := image(t, dir)
	require.NoError(t, os.Remove(filepath.Join(crashed, "partitions", topic+"-0", "snapshot.json"))) // a clean close wrote it
	info, err := os.Stat(segmentFile(crashed))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(segmentFile(crashed), info.Size()-5))
	log, said := captureLog()

	b := start(t, Options{Dir: crashed, Logger: log})
	assert.Contains(t, said.String(), "torn end")
	produce(t, b.Address(), 9, 3)
	offsets, values := consume(t, b.Address())
	assert.Equal(t, numbers(0, 12), values)
	assert.Equal(t, int64(11), offsets[11])
	require.NoError(t, b.Close())

	b = start(t, Options{Dir: crashed})
	_, values = consume(t, b.Address())
	assert.Equal(t, append(numbers(0, 12), "end"), values)
}

func TestLostEndIsNeverNumberedAgain(t *testing.T) {
	dir := filled(t, 10)
	info, err := os.Stat(segmentFile(dir))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(segmentFile(dir), info.Size()/2)) // shorter than the clean close left it
	log, said := captureLog()

	b := start(t, Options{Dir: dir, Logger: log})
	assert.Contains(t, said.String(), "end of a log is lost")
	produce(t, b.Address(), 10, 2)
	offsets, values := consume(t, b.Address())
	assert.Equal(t, append(numbers(0, len(values)-2), "10", "11"), values)
	assert.Equal(t, []int64{10, 11}, offsets[len(offsets)-2:])
}

func TestCommitBeyondTheEndSkipsNothing(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 10)
	commit(t, b.Address(), "g", 10)
	crashed := image(t, dir) // no snapshot: the commit alone tells
	require.NoError(t, os.Truncate(segmentFile(crashed), 0))

	b = start(t, Options{Dir: crashed})
	produce(t, b.Address(), 100, 3)
	cl := client(t, b.Address(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	var got []string
	for len(got) < 3 {
		fetches := cl.PollFetches(within(t, 10*time.Second))
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	assert.Equal(t, numbers(100, 3), got)
}

func TestEmptiedPartitionKeepsItsNumbering(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 10)
	adm := kadm.NewClient(client(t, b.Address()))
	var all kadm.Offsets
	all.AddOffset(topic, 0, 10, -1)
	_, err := adm.DeleteRecords(t.Context(), all)
	require.NoError(t, err)
	require.NoError(t, b.Close())

	for range 2 { // the padding survives as well
		b = start(t, Options{Dir: dir})
		ends, err := kadm.NewClient(client(t, b.Address())).ListEndOffsets(t.Context(), topic)
		require.NoError(t, err)
		end, _ := ends.Lookup(topic, 0)
		assert.Equal(t, int64(10), end.Offset)
		require.NoError(t, b.Close())
	}
	b = start(t, Options{Dir: dir})
	produce(t, b.Address(), 10, 1)
	offsets, values := consume(t, b.Address())
	assert.Equal(t, []int64{10}, offsets)
	assert.Equal(t, []string{"10"}, values)
}

// stateEntry frames an entry of a state log.
func stateEntry(data []byte) []byte {
	body := append([]byte{1, 0}, data...)
	entry := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	entry = binary.LittleEndian.AppendUint32(entry, crc32.Checksum(body, castagnoli))
	return append(entry, body...)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestDamageIsRefusedAndNotTouched(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"flipped byte": func(t *testing.T, dir string) {
			raw := must(os.ReadFile(segmentFile(dir)))
			size, ok := batchSize(raw, int64(len(raw)))
			require.True(t, ok)
			raw[2*size-1] ^= 1 // the end of the second batch
			require.NoError(t, os.WriteFile(segmentFile(dir), raw, 0o644))
		},
		"offset changed": func(t *testing.T, dir string) {
			raw := must(os.ReadFile(segmentFile(dir)))
			raw[7] ^= 1 // no checksum covers it
			require.NoError(t, os.WriteFile(segmentFile(dir), raw, 0o644))
		},
		"batch missing": func(t *testing.T, dir string) {
			raw := must(os.ReadFile(segmentFile(dir)))
			size, ok := batchSize(raw, int64(len(raw)))
			require.True(t, ok)
			require.NoError(t, os.WriteFile(segmentFile(dir), append(raw[:size:size], raw[2*size:]...), 0o644))
		},
		"list of topics lost": func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "topics.json")))
		},
		"list of topics unreadable": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "topics.json"), []byte(`{"topics":[`), 0o644))
		},
		"cluster file lost": func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "meta.json")))
		},
		"a commit unreadable": func(t *testing.T, dir string) {
			require.NoError(t, writeSynced(filepath.Join(dir, "groups.log"), os.O_APPEND, stateEntry([]byte("{"))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 10)
			damage(t, dir)
			before := must(os.ReadFile(segmentFile(dir)))
			_, err := Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0"})
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, "restore", "the remedy")
			assert.Equal(t, before, must(os.ReadFile(segmentFile(dir))))
		})
	}
}

func TestCommitsAfterATornCommitAreKept(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	produce(t, b.Address(), 0, 10)
	commit(t, b.Address(), "g", 3)
	crashed := image(t, dir)
	for _, torn := range []string{"groups.log", "pids.log"} {
		require.NoError(t, writeSynced(filepath.Join(crashed, torn), os.O_APPEND, []byte{80, 0, 0, 0, 1}))
	}

	b = start(t, Options{Dir: crashed})
	commit(t, b.Address(), "g", 7)
	again := image(t, crashed) // killed once more
	log := must(os.ReadFile(filepath.Join(again, "groups.log")))
	last := append([]byte{}, log...)
	require.NoError(t, writeSynced(filepath.Join(again, "groups.log"), os.O_TRUNC, log[:len(log)-3])) // a full disk
	require.NoError(t, writeSynced(filepath.Join(again, "groups.log"), os.O_APPEND, last))

	b = start(t, Options{Dir: again})
	offsets, err := kadm.NewClient(client(t, b.Address())).FetchOffsets(t.Context(), "g")
	require.NoError(t, err)
	o, ok := offsets.Lookup(topic, 0)
	require.True(t, ok)
	assert.Equal(t, int64(7), o.At)
}

func TestShortIndexIsCompleted(t *testing.T) {
	dir := filled(t, 3)
	idx := filepath.Join(dir, "partitions", topic+"-0", "0.idx")
	want := must(os.ReadFile(idx))
	require.NoError(t, os.Truncate(idx, indexEntryLen+4))
	b := start(t, Options{Dir: dir})
	require.NoError(t, b.Close())
	got := must(os.ReadFile(idx))
	require.Len(t, got, len(want))
	for at := 0; at < len(want); at += indexEntryLen {
		assert.Equal(t, want[at+2:at+6], got[at+2:at+6], "leader epoch")
		assert.Equal(t, want[at+14], got[at+14], "in a transaction")
	}
}

func TestWhollyTornSegmentKeepsItsNumber(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "1000.dat"), []byte("torn"), 0o644))
	l := partitionLog{partition: partition{topic, 0}, dir: dir, log: slog.New(slog.DiscardHandler)}
	require.NoError(t, l.repair(7))

	l = partitionLog{partition: l.partition, dir: dir, log: l.log}
	require.NoError(t, l.repair(7))
	assert.Equal(t, int64(1000), l.end)
	assert.Len(t, must(os.ReadFile(filepath.Join(dir, "999.idx"))), indexEntryLen)
}
