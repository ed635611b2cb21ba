package local

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The test kills the broker's process several times during writes, restarts it on its folder, and reads everything at the end.
func TestAKillLosesNoAcknowledgedRecord(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var acked []string
	for round := range 4 {
		address, kill := startChild(t, dir, free(t))
		acked = append(acked, produceUntilKilled(t, address, round*1_000_000, 100+rng.IntN(3000), kill)...)
	}
	b := start(t, Options{Dir: dir})
	offsets, values := consume(t, b.Address())
	requireInOrder(t, acked, values)
	for i := 1; i < len(offsets); i++ {
		require.Equal(t, offsets[i-1]+1, offsets[i])
	}
}

// produceUntilKilled kills the broker after this many acknowledgements and returns the acknowledged records.
func produceUntilKilled(t *testing.T, address string, from, after int, kill func()) []string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cl := client(t, address, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(500))
	var (
		mu      sync.Mutex
		acked   []string
		reached = make(chan struct{})
		killed  = make(chan struct{})
	)
	go func() {
		defer close(killed)
		<-reached
		kill()
		stop()
	}()
	for i := from; ctx.Err() == nil; i++ {
		r := &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if acked = append(acked, string(r.Value)); len(acked) == after {
				close(reached)
			}
		})
	}
	<-killed
	closed := make(chan struct{})
	go func() { // takes a second when the broker is down
		defer close(closed)
		cl.Close()
	}()
	t.Cleanup(func() { <-closed })
	mu.Lock()
	defer mu.Unlock()
	require.GreaterOrEqual(t, len(acked), after)
	return slices.Clone(acked)
}

// requireInOrder requires all acknowledged records in the order of their first copies. Records in flight at a kill may
// be stored twice, or without an acknowledgement.
func requireInOrder(t *testing.T, acked, stored []string) {
	t.Helper()
	previous, at := -1, 0
	seen := make(map[string]bool)
	for _, v := range stored {
		if seen[v] {
			continue
		}
		seen[v] = true
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		require.Greater(t, n, previous, "out of order")
		previous = n
		if at < len(acked) && acked[at] == v {
			at++
		}
	}
	require.Equal(t, len(acked), at, "acknowledged records that are missing")
}

// A kill in a transaction loses nothing, and does not hold up readers or later transactions.
func TestAKillInATransaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address, kill := startChild(t, dir, free(t))
	transact := func(value string) *kgo.Client {
		cl := client(t, address, kgo.TransactionalID("a"))
		require.NoError(t, cl.BeginTransaction())
		require.NoError(t, cl.ProduceSync(within(t, 20*time.Second), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
		return cl
	}
	require.NoError(t, transact("1").EndTransaction(within(t, 20*time.Second), kgo.TryCommit))
	transact("2")
	kill()
	address = start(t, Options{Dir: dir}).Address()
	require.NoError(t, transact("3").EndTransaction(within(t, 20*time.Second), kgo.TryCommit))
	cl := client(t, address, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	var values []string
	for !slices.Contains(values, "3") {
		fetches := cl.PollFetches(within(t, 20*time.Second))
		require.NoError(t, fetches.Err())
		for r := range fetches.RecordsAll() {
			values = append(values, string(r.Value))
		}
	}
	assert.Equal(t, "1", values[0])
}

// The broker restarts on its port, killed and closed in turn, while an idempotent producer lives: all is stored in order.
func TestAProducerContinuesAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address, kill := startChild(t, dir, free(t))
	cl := client(t, address)

	var mu sync.Mutex
	var failed []error
	sent := 0
	send := func(n int) {
		for range n {
			r := &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(sent))}
			sent++
			cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = append(failed, err)
				}
			})
		}
	}
	var b *Broker
	for round := range 6 {
		send(50)
		require.NoError(t, cl.Flush(within(t, 20*time.Second)))
		send(500) // in flight while the broker goes down
		if b == nil {
			kill()
		} else {
			require.NoError(t, b.Close())
			b = nil
		}
		if round%2 == 0 {
			b = start(t, Options{Dir: dir, Address: address})
		} else {
			_, kill = startChild(t, dir, address)
		}
		send(50)
		require.NoError(t, cl.Flush(within(t, 20*time.Second)))
	}
	kill()
	b = start(t, Options{Dir: dir, Address: address})
	_, values := consume(t, b.Address())
	assert.Equal(t, numbers(0, sent), values, "once each, in order")
	assert.NoError(t, errors.Join(failed...))
}

// A file in place of the folder stands for a full disk.
func TestFailedWriteIsNotAcknowledged(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	blocked := filepath.Dir(segmentFile(dir))
	require.NoError(t, os.MkdirAll(filepath.Dir(blocked), 0o755))
	require.NoError(t, os.RemoveAll(blocked))
	require.NoError(t, os.WriteFile(blocked, nil, 0o644))
	cl := client(t, b.Address())
	publish := func(value string) error {
		return cl.ProduceSync(within(t, 20*time.Second), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
	}
	assert.ErrorIs(t, publish("refused"), kerr.UnknownServerError)
	assert.ErrorIs(t, publish("refused"), kerr.UnknownServerError)
	assert.Greater(t, b.files.unjournaled.Load(), time.Now().UnixNano())

	require.NoError(t, os.Remove(blocked))
	require.NoError(t, publish("0"))
	require.NoError(t, publish("1"))
	_, values := consume(t, b.Address())
	assert.Equal(t, numbers(0, 2), values)
}
