package local

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A record is neither acknowledged nor shown to consumers while it is synced.
func TestNothingIsAnsweredBeforeItsSync(t *testing.T) {
	t.Parallel()
	for name, acks := range map[string]kgo.Acks{"acks=all": kgo.AllISRAcks(), "acks=1": kgo.LeaderAck(), "acks=0": kgo.NoAck()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, ended := make(chan struct{}, 8), make(chan struct{})
			end := sync.OnceFunc(func() { close(ended) })
			var synced atomic.Bool
			b := start(t, Options{Dir: t.TempDir(), fsync: func(f *os.File) error {
				if strings.HasSuffix(f.Name(), ".dat") {
					began <- struct{}{}
					<-ended
				}
				return f.Sync()
			}})
			t.Cleanup(end)
			shown, acked := make(chan bool, 1), make(chan bool, 1)
			consumer := client(t, b.Address(),
				kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
			go func() {
				for consumer.PollFetches(within(t, 20*time.Second)).NumRecords() == 0 {
				}
				shown <- synced.Load()
			}()
			cl := client(t, b.Address(), kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
			cl.Produce(t.Context(), &kgo.Record{Topic: topic}, func(_ *kgo.Record, err error) { acked <- err == nil && synced.Load() })
			select {
			case <-began:
			case <-time.After(20 * time.Second):
				t.Fatal("nothing is synced")
			}
			if acks == kgo.NoAck() {
				assert.False(t, <-acked, "the client does not wait")
				acked <- true
			}
			select {
			case early := <-acked:
				acked <- early
				if acks != kgo.NoAck() {
					t.Error("acknowledged before its sync")
				}
			case early := <-shown:
				shown <- early
				t.Error("shown before its sync")
			case <-time.After(50 * time.Millisecond):
			}
			synced.Store(true)
			end()
			assert.True(t, <-shown)
			if acks != kgo.NoAck() {
				assert.True(t, <-acked)
			}
		})
	}
}

// What is written while a pass runs is synced by the next one.
func TestSyncBeginsAfterTheCall(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "groups.log")
	write := func() { require.NoError(t, os.WriteFile(file, append(must(os.ReadFile(file)), 'x'), 0o600)) }
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := newSyncer(dir, slog.New(slog.DiscardHandler))
	began, end := make(chan struct{}, 2), make(chan struct{})
	s.fsync = func(f *os.File) error {
		if f.Name() == file {
			began <- struct{}{}
			<-end
		}
		return nil
	}
	results := make(chan error, 2)
	go func() { results <- s.Sync() }()
	<-began
	write()
	go func() { results <- s.Sync() }()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.next != nil
	}, 20*time.Second, time.Millisecond)
	close(end)
	require.NoError(t, errors.Join(<-results, <-results))
	require.Len(t, began, 1, "a second sync")
}

// Nothing is acknowledged after a failed sync, even if a later one succeeds.
func TestFailedSyncIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	var failures atomic.Int32
	log, logged := captureLog()
	dir := t.TempDir()
	b, err := Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0", Logger: log, fsync: func(f *os.File) error {
		if failures.Add(-1) == 0 {
			return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
		}
		return f.Sync()
	}})
	require.NoError(t, err)
	require.NoError(t, makeTopic(t.Context(), b.Address()))
	produce(t, b.Address(), 0, 3)
	require.NoError(t, b.Check())
	consumer := client(t, b.Address(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(2)}}))
	require.Equal(t, 1, consumer.PollFetches(within(t, 20*time.Second)).NumRecords())

	failures.Store(1)
	cl := client(t, b.Address(), kgo.DisableIdempotentWrite(), kgo.RecordRetries(2))
	for range 2 {
		assert.Error(t, cl.ProduceSync(within(t, 20*time.Second), &kgo.Record{Topic: topic, Value: []byte("3")}).FirstErr())
	}
	assert.Zero(t, consumer.PollFetches(within(t, 200*time.Millisecond)).NumRecords(), "shown without a sync")
	assert.ErrorIs(t, b.Check(), syscall.EIO)
	assert.ErrorContains(t, b.Check(), journalFile(dir))
	assert.ErrorIs(t, b.Close(), syscall.EIO)
	assert.Equal(t, 1, strings.Count(logged.String(), "acknowledges nothing"), logged)

	again := start(t, Options{Dir: dir})
	_, values := consume(t, again.Address())
	assert.Equal(t, numbers(0, 3), values[:3])
}

// kfake ends a transaction that times out without a request, so no answer but that to a fetch waits for its marker.
func TestMarkersOfTimeoutsAreSyncedBeforeTheyAreShown(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}, 8), make(chan struct{})
	var blocks atomic.Bool
	dir := t.TempDir()
	b := start(t, Options{Dir: dir, fsync: func(f *os.File) error {
		if blocks.Load() && f.Name() == journalFile(dir) {
			began <- struct{}{}
			<-ended
		}
		return f.Sync()
	}})
	end := sync.OnceFunc(func() { close(ended) })
	t.Cleanup(end)
	producer := client(t, b.Address(), kgo.TransactionalID("t"), kgo.TransactionTimeout(200*time.Millisecond))
	require.NoError(t, producer.BeginTransaction())
	require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic}).FirstErr())
	blocks.Store(true)
	consumer := client(t, b.Address(), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(1)}}))
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		for polling := within(t, 20*time.Second); polling.Err() == nil && consumer.PollFetches(polling).NumRecords() == 0; {
		}
	}()
	select {
	case <-began:
	case <-shown:
		t.Error("the marker is shown before its sync, or not at all")
	}
	end()
	<-shown
}

// A power cut must not bring back what was deleted.
func TestDeletionsAreSynced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "partitions", "orders-0")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	file := filepath.Join(folder, "0.dat")
	require.NoError(t, os.WriteFile(file, []byte("records"), 0o600))
	s := newSyncer(dir, slog.New(slog.DiscardHandler))
	synced := make(chan string, 100)
	s.fsync = func(f *os.File) error { synced <- f.Name(); return nil }
	syncs := func() (paths []string) {
		require.NoError(t, s.Sync())
		for range len(synced) {
			paths = append(paths, <-synced)
		}
		return paths
	}
	syncs()
	for _, gone := range []string{file, folder} {
		require.NoError(t, os.Remove(gone))
		assert.Contains(t, syncs(), filepath.Dir(gone))
	}
	assert.Empty(t, syncs())
}

func TestLinkedFoldersAreSynced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(dir, "partitions")))
	var synced atomic.Bool
	b := start(t, Options{Dir: dir, fsync: func(f *os.File) error {
		synced.Store(synced.Load() || f.Name() == segmentFile(dir))
		return f.Sync()
	}})
	produce(t, b.Address(), 0, 1)
	assert.True(t, synced.Load())
}
