package store_test

import (
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

func at(partition int32, offset int64) map[int32]int64 { return map[int32]int64{partition: offset} }

func (b *bench) marked(want store.Marks) {
	b.Helper()
	got, err := b.Marks(b.Context())
	require.NoError(b, err)
	require.Equal(b, want, got)
}

var marks = []guarantee{
	{"a model that is given everything in turn holds it, and offsets that are reset take nothing back", func(b *bench) {
		b.marked(store.Marks{})
		require.NoError(b, b.Advance(b.Context(), request, at(0, 0), at(0, 5)))
		require.NoError(b, b.Advance(b.Context(), request, map[int32]int64{0: 5, 3: 0}, map[int32]int64{0: 7, 3: 1}))
		require.NoError(b, b.Advance(b.Context(), contact, nil, at(11, 1<<40)))
		require.NoError(b, b.Advance(b.Context(), request, at(0, 2), at(0, 4)))
		require.NoError(b, b.Advance(b.Context(), request, at(0, 0), at(0, 0)))
		b.marked(store.Marks{
			request: {0: {Held: 7, Committed: 7}, 3: {Held: 1, Committed: 1}},
			contact: {11: {Held: 1 << 40, Committed: 1 << 40}},
		})
		require.NoError(b, b.Ping(b.Context()))
	}},
	{"a model that was not given what was committed is behind until it is", func(b *bench) {
		require.NoError(b, b.Advance(b.Context(), request, at(0, 0), at(0, 2)))
		require.NoError(b, b.Advance(b.Context(), request, at(0, 5), at(0, 5)))
		require.NoError(b, b.Advance(b.Context(), request, at(0, 5), at(0, 8)))
		b.marked(store.Marks{request: {0: {Held: 2, Committed: 8}}})
		err := b.Ping(b.Context())
		isKind(b, events.Unavailable, err)
		assert.ErrorContains(b, err, request+"/0 holds 2 of 8")
		assert.ErrorContains(b, err, "run `sipeat rebuild`")
		b.mustPut(item("still works", 0, ""))

		require.NoError(b, b.Advance(b.Context(), request, at(0, 0), at(0, 7)))
		isKind(b, events.Unavailable, b.Ping(b.Context()))
		require.NoError(b, b.Advance(b.Context(), request, at(0, 7), at(0, 8)))
		b.marked(store.Marks{request: {0: {Held: 8, Committed: 8}}})
		require.NoError(b, b.Ping(b.Context()))
	}},
	{"projections of another version do not write to a model", func(b *bench) {
		first := store.Projected{Store: b.Store, Version: 2}
		require.NoError(b, first.Put(b.Context(), item("a", 0, "")))
		b.marked(store.Marks{"projection": {0: {Held: 2, Committed: 2}}})
		for _, version := range []int64{1, 3} {
			other := store.Projected{Store: b.handle(b.T), Version: version}
			err := other.Put(b.Context(), item("b", 0, ""))
			isKind(b, events.Unavailable, err)
			require.ErrorIs(b, err, store.ErrBehind)
			assert.ErrorContains(b, err, "version 2")
		}
		_, err := b.Get(b.Context(), request, "b")
		isKind(b, events.NotFound, err)
		again := store.Projected{Store: b.handle(b.T), Version: 2}
		require.NoError(b, again.Put(b.Context(), item("b", 0, "")))
		require.NoError(b, b.Ping(b.Context()))
	}},
	{"a model with marks and no version is of version 1", func(b *bench) {
		require.NoError(b, b.Advance(b.Context(), request, at(0, 0), at(0, 5)))
		second := store.Projected{Store: b.Store, Version: 2}
		require.ErrorIs(b, second.Check(b.Context()), store.ErrBehind)
		first := store.Projected{Store: b.Store, Version: 1}
		require.NoError(b, first.Check(b.Context()))
	}},
	{"handles of several processes advance the same marks", func(b *bench) {
		handles := []store.Store{b.Store, b.handle(b.T)}
		for offset := range int64(20) {
			require.NoError(b, handles[offset%2].Advance(b.Context(), request, at(0, offset), at(0, offset+1)))
		}
		succeed(b, 24, func(i int) error {
			return handles[i%2].Advance(b.Context(), request, nil, at(int32(i%12), int64(20+i)))
		})
		want := map[int32]store.Mark{}
		for p := range int32(12) {
			want[p] = store.Mark{Held: int64(32 + p), Committed: int64(32 + p)}
		}
		b.marked(store.Marks{request: want})
	}},
}
