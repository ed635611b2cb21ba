//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// disk is what a power cut leaves of a folder: the entries of folders and the contents of files that were synced, and any part of
// what changed since.
type disk struct {
	mu       sync.Mutex
	contents map[uint64][]byte            // by inode
	entries  map[uint64]map[string]uint64 // by inode of a folder
}

func newDisk() *disk {
	return &disk{contents: map[uint64][]byte{}, entries: map[uint64]map[string]uint64{}}
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func (d *disk) sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		d.contents[inode(info)], err = os.ReadFile(f.Name())
		return err
	}
	entries, err := os.ReadDir(f.Name())
	now := map[string]uint64{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			now[e.Name()] = inode(info)
		}
	}
	d.entries[inode(info)] = now
	return err
}

// cut writes what is left of dir to a new folder.
func (d *disk) cut(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	<-time.After(20 * time.Millisecond) // for what else the broker writes before the next sync
	now := map[uint64]string{}          // current paths, for what is not synced
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil { // it may be renamed meanwhile
			if info, err := e.Info(); err == nil {
				now[inode(info)] = path
			}
		}
		return nil
	}))
	to := filepath.Join(t.TempDir(), "cut")
	root, err := os.Stat(dir)
	require.NoError(t, err)
	d.write(t, inode(root), to, now, rng)
	return to
}

func (d *disk) write(t *testing.T, folder uint64, to string, now map[uint64]string, rng *rand.Rand) {
	require.NoError(t, os.MkdirAll(to, 0o700))
	for name, ino := range d.entries[folder] {
		path := filepath.Join(to, name)
		if info, err := os.Stat(filepath.Join(now[folder], name)); err == nil && rng.IntN(2) == 0 {
			ino = inode(info) // replaced since
		}
		if info, err := os.Stat(now[ino]); err == nil && info.IsDir() {
			d.write(t, ino, path, now, rng)
			continue
		}
		content := d.contents[ino]
		if current, err := os.ReadFile(now[ino]); err == nil && len(current) > len(content) {
			content = lose(current, len(content), rng)
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
}

// lose zeroes blocks behind what is synced and cuts off the end, or zeroes just the first block.
func lose(current []byte, synced int, rng *rand.Rand) []byte {
	const block = 512
	left := slices.Clone(current)
	if rng.IntN(2) == 0 {
		clear(left[synced:min((synced/block+1)*block, len(left))])
		return left
	}
	for at := synced; at < len(left); {
		end := min((at/block+1)*block, len(left))
		if rng.IntN(2) == 0 {
			clear(left[at:end])
		}
		at = end
	}
	return left[:synced+rng.IntN(len(left)-synced+1)]
}

// history is what clients were answered.
type history struct {
	mu        sync.Mutex
	acked     []string
	shown     map[int64]string // by offset
	committed int64
}

func (h *history) copy() (acked []string, shown map[int64]string, committed int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.acked), maps.Clone(h.shown), h.committed
}

func (h *history) ack(r *kgo.Record, err error) {
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.acked = append(h.acked, string(r.Value))
	}
}

// The power is cut several times while several clients produce, one of them without acknowledgements, and a group consumes. Each
// time, what any of them was answered must be there.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	for name, transactions := range map[string]bool{"idempotent": false, "transactions": true} {
		t.Run(name, func(t *testing.T) { testPowerCuts(t, transactions) })
	}
}

func testPowerCuts(t *testing.T, transactions bool) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	d, dir := newDisk(), t.TempDir()
	b := start(t, Options{Dir: dir, fsync: d.sync})
	b.files.turn.Lock()
	b.files.journal.limit = 30_000 // so that it begins again several times
	b.files.turn.Unlock()
	small, few := "1", "20000" // bytes, so that state logs are replaced each time, and segments are short
	_, err := kadm.NewClient(client(t, b.Address())).AlterBrokerConfigs(t.Context(),
		[]kadm.AlterConfig{{Name: "state.log.compact.bytes", Value: &small}, {Name: "log.segment.bytes", Value: &few}}, 0)
	require.NoError(t, err)

	h := history{shown: map[int64]string{}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	const group = "g"
	produceTo := func(name string, produce func(cl *kgo.Client, r *kgo.Record), opts ...kgo.Opt) {
		cl := client(t, b.Address(), append(opts, kgo.ProducerBatchCompression(kgo.NoCompression()))...)
		rng := rand.New(rand.NewPCG(seed, uint64(len(name))))
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				value := fmt.Sprint(name, n, strings.Repeat("-", rng.IntN(2000)))
				produce(cl, &kgo.Record{Topic: topic, Value: []byte(value)})
			}
		})
	}
	for _, name := range []string{"a", "bb", "ccc"} {
		produceTo(name, func(cl *kgo.Client, r *kgo.Record) { h.ack(r, cl.ProduceSync(ctx, r).FirstErr()) })
	}
	produceTo("silent", func(cl *kgo.Client, r *kgo.Record) { _ = cl.ProduceSync(ctx, r) },
		kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	if transactions {
		produceTo("transaction", func(cl *kgo.Client, r *kgo.Record) {
			if cl.BeginTransaction() == nil {
				err := cl.ProduceSync(ctx, r).FirstErr()
				h.ack(r, errors.Join(err, cl.EndTransaction(ctx, kgo.TryCommit)))
			}
		}, kgo.TransactionalID("t"))
	}
	consumer := client(t, b.Address(), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	running.Go(func() {
		for ctx.Err() == nil {
			records := consumer.PollRecords(ctx, 5).Records()
			h.mu.Lock()
			for _, r := range records {
				h.shown[r.Offset] = string(r.Value)
			}
			h.mu.Unlock()
			if len(records) > 0 && consumer.CommitRecords(ctx, records...) == nil {
				h.mu.Lock()
				h.committed = records[len(records)-1].Offset + 1
				h.mu.Unlock()
			}
		}
	})
	for seen := range 4 {
		require.Eventually(t, func() bool {
			acked, _, committed := h.copy()
			return len(acked) > 40*seen && committed > int64(40*seen)
		}, 20*time.Second, time.Millisecond)
		acked, shown, committed := h.copy()
		left := start(t, Options{Dir: d.cut(t, dir, rng)})
		offsets, values := consume(t, left.Address())
		require.Subset(t, values, acked)
		for offset, value := range shown {
			i, found := slices.BinarySearch(offsets, offset)
			require.True(t, found)
			require.Equal(t, value, values[i])
		}
		at, err := kadm.NewClient(client(t, left.Address())).FetchOffsets(t.Context(), group)
		require.NoError(t, err)
		offset, _ := at.Lookup(topic, 0)
		require.GreaterOrEqual(t, offset.At, committed)
		require.LessOrEqual(t, offset.At, offsets[len(offsets)-1]+2, "committed behind the end; a marker may be the last")
	}
}
