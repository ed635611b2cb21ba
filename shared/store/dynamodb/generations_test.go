package dynamodb

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// count is how many rows a table has, but for the pointer.
func count(t *testing.T, s *Store) int {
	t.Helper()
	out, err := s.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &s.table, ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	return len(out.Items) - 1
}

func TestASweepDeletesWhatWasLeftAndCanGoOn(t *testing.T) {
	t.Parallel()
	cfg, name := table(t)
	s := open(t, cfg, name, WithoutSweeps())
	for n := range 60 {
		i := request(fmt.Sprint(n), "Cola", fmt.Sprint("drink ", n))
		i.Type = []string{"request-created", "a/b"}[n%2]
		require.NoError(t, s.Put(t.Context(), i))
	}
	g, err := s.Build(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Rebuild(t.Context(), g, request("kept", "Tea")))
	require.NoError(t, s.Switch(t.Context(), g))
	assert.Equal(t, 60+61+2+3, count(t, s))
	p, err := s.pointers.latest(t.Context())
	require.NoError(t, err)
	assert.Contains(t, p.dropping, 1)
	hurried, stop := contextThatEnds(t)
	defer stop()
	require.Error(t, s.Sweep(hurried), "the rows stay for a minute")
	assert.Equal(t, 60+61+2+3, count(t, s))

	// Somebody began, and died: the items of one type are gone.
	require.NoError(t, s.rowsOf(t.Context(), listIndex, join(1, "a/b"), func(rows []key) error { return s.remove(t.Context(), rows) }))
	var both sync.WaitGroup
	for range 2 {
		other := open(t, cfg, name)
		other.sweeps.grace = 0
		both.Go(func() { assert.NoError(t, other.Sweep(t.Context())) })
	}
	both.Wait()
	assert.Equal(t, 3, count(t, s), "the item that is living, its counter and its type")
	require.NoError(t, s.Sweep(t.Context()), "there is nothing to wait for")
	p, err = s.pointers.latest(t.Context())
	require.NoError(t, err)
	assert.Empty(t, p.dropping)
	_, err = s.Get(t.Context(), "request-created", "kept")
	require.NoError(t, err)
}

func TestAHandleThatWritesSweeps(t *testing.T) {
	t.Parallel()
	cfg, name := table(t)
	s := open(t, cfg, name, WithoutSweeps())
	require.NoError(t, s.Put(t.Context(), request("1", "Cola")))
	g, err := s.Build(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Switch(t.Context(), g))
	other := open(t, cfg, name)
	other.sweeps.grace = 0
	require.NoError(t, other.Put(t.Context(), request("2")))
	require.Eventually(t, func() bool { return count(t, s) == 2 }, 10*time.Second, 20*time.Millisecond)
}

// A writer that has not heard of a step for as long as it may: what it acknowledges is where it belongs nevertheless.
func TestAStalePointerLosesNothing(t *testing.T) {
	t.Parallel()
	cfg, name := table(t)
	s, late := open(t, cfg, name), open(t, cfg, name)
	require.NoError(t, late.Put(t.Context(), request("0", "Cola")))
	stale := late.pointers.last
	g, err := s.Build(t.Context())
	require.NoError(t, err)
	late.pointers.set(stale)
	require.NoError(t, late.Put(t.Context(), request("while building", "Cola")))
	building := late.pointers.last
	require.NoError(t, s.Switch(t.Context(), g))
	late.pointers.set(stale) // of before the build, even
	require.NoError(t, late.Put(t.Context(), request("after the switch", "Cola")))
	late.pointers.set(building)
	require.NoError(t, late.Put(t.Context(), request("later", "Cola")))
	// What the old generation has under this id says nothing any more.
	other := request("0", "Cola")
	other.Digest[5]++
	late.pointers.set(stale)
	require.NoError(t, late.Put(t.Context(), other))
	late.pointers.set(stale)
	got, err := late.Get(t.Context(), "request-created", "0")
	require.NoError(t, err)
	assert.Equal(t, other, got, "not the one of the old generation")
	late.pointers.set(stale)
	page, err := late.List(t.Context(), store.Query{Type: "request-created", Limit: 10})
	require.NoError(t, err)
	assert.Len(t, page.Items, 4)
	d, err := s.Demand(t.Context(), store.DemandQuery{Limit: 1})
	require.NoError(t, err)
	assert.EqualValues(t, 4, d.Items[0].Count)

	late.pointers.set(building)
	assert.Equal(t, events.Conflict, events.KindOf(late.Rebuild(t.Context(), g, request("refused"))))
	_, err = s.Get(t.Context(), "request-created", "refused")
	assert.Equal(t, events.NotFound, events.KindOf(err))
}

func TestWritersOfManyProcessesAtOneCounter(t *testing.T) {
	t.Parallel()
	cfg, name := table(t)
	const handles, each = 8, 25
	var all sync.WaitGroup
	for h := range handles {
		s := open(t, cfg, name)
		for n := range each {
			all.Go(func() { assert.NoError(t, s.Put(t.Context(), request(fmt.Sprint(h, n), "Cola"))) })
		}
	}
	all.Wait()
	d, err := open(t, cfg, name).Demand(t.Context(), store.DemandQuery{Limit: 1})
	require.NoError(t, err)
	assert.EqualValues(t, handles*each, d.Items[0].Count)
}

func TestTheTableIsMadeOnceAndComparedAlways(t *testing.T) {
	t.Parallel()
	cfg, name := table(t)
	require.NoError(t, CreateTable(t.Context(), cfg, name))
	s := open(t, cfg, name)
	require.NoError(t, s.CheckTable(t.Context()))
	other := name + "-other"
	in := Description(other)
	in.GlobalSecondaryIndexes = in.GlobalSecondaryIndexes[1:]
	in.GlobalSecondaryIndexes[0].Projection.ProjectionType = types.ProjectionTypeKeysOnly
	in.AttributeDefinitions = append(in.AttributeDefinitions[:3:3], in.AttributeDefinitions[4:]...)
	_, err := s.client.CreateTable(t.Context(), in)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = s.client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &other})
	})
	err = CreateTable(t.Context(), cfg, other)
	require.ErrorContains(t, err, "the index list is missing")
	require.ErrorContains(t, err, "the index city is city S, at B KEYS_ONLY, not city S, at B ALL")
	_, err = open(t, cfg, other).List(t.Context(), store.Query{Type: "x", Limit: 1})
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "lack an index")
}
