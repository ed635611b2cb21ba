package storetest

import (
	"fmt"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// at asserts which generations there are.
func (b *bench) at(s store.Store, living, building int) {
	b.Helper()
	l, n, err := s.Generations(b.Context())
	require.NoError(b, err)
	require.Equal(b, [2]int{living, building}, [2]int{l, n})
}

func (b *bench) build() int {
	b.Helper()
	g, err := b.Build(b.Context())
	require.NoError(b, err)
	return g
}

func (b *bench) list(s store.Store) []string {
	b.Helper()
	return ids(b.all(s, store.Query{Type: request, Limit: 100}))
}

var generations = []promise{
	{"a new model lives in generation 1", func(b *bench) { b.at(b, 1, 0) }},
	{"put writes to the living one and to the one being built", func(b *bench) {
		b.mustPut(item("before", 0, "", "Cola"))
		g := b.build()
		assert.Equal(b, 2, g)
		b.at(b, 1, 2)
		b.mustPut(item("while", 1, "", "Cola"))
		assert.Equal(b, []string{"while", "before"}, b.list(b))
		require.NoError(b, b.Switch(b.Context(), g))
		b.at(b, 2, 0)
		assert.Equal(b, []string{"while"}, b.list(b))
		assert.EqualValues(b, 1, b.demand(b, store.DemandQuery{})[0].Count)
		_, err := b.Get(b.Context(), request, "before")
		b.isKind(events.NotFound, err)
	}},
	{"rebuild writes to the one being built alone, by the rules of put", func(b *bench) {
		i, j := item("1", 0, "", "Cola"), item("2", 1, "", "Tea")
		b.mustPut(i)
		g := b.build()
		require.NoError(b, b.Rebuild(b.Context(), g, i))
		require.NoError(b, b.Rebuild(b.Context(), g, j))
		require.NoError(b, b.Rebuild(b.Context(), g, j))
		b.isKind(events.Conflict, b.Rebuild(b.Context(), g, item("2", 1, "other")))
		b.isKind(events.Invalid, b.Rebuild(b.Context(), g, store.Item{}))
		assert.Equal(b, []string{"1"}, b.list(b))
		assert.Len(b, b.demand(b, store.DemandQuery{}), 1)
		require.NoError(b, b.Switch(b.Context(), g))
		assert.Equal(b, []string{"2", "1"}, b.list(b))
		assert.Equal(b, j, b.get(b, j))
		assert.Equal(b, []int64{1, 1}, []int64{b.demand(b, store.DemandQuery{})[0].Count, b.demand(b, store.DemandQuery{})[1].Count})
	}},
	{"the living one decides what put answers", func(b *bench) {
		kept, other := item("1", 0, "kept", "Cola"), item("1", 0, "other", "Tea")
		b.mustPut(kept)
		g := b.build()
		b.isKind(events.Conflict, b.Put(b.Context(), other)) // and is not written to the one being built either
		require.NoError(b, b.Rebuild(b.Context(), g, other))
		b.mustPut(kept)
		assert.Equal(b, kept, b.get(b, kept))
		require.NoError(b, b.Switch(b.Context(), g))
		assert.Equal(b, other, b.get(b, other))
		assert.Equal(b, []store.Demand{{Country: "DE", City: "Berlin", Drink: "Tea", Count: 1}}, b.demand(b, store.DemandQuery{}))
	}},
	{"a repeat reaches the one being built", func(b *bench) {
		i := item("1", 0, "")
		b.mustPut(i)
		g := b.build()
		b.mustPut(i)
		require.NoError(b, b.Switch(b.Context(), g))
		assert.Equal(b, []string{"1"}, b.list(b))
	}},
	{"only one is built at a time", func(b *bench) {
		g := b.build()
		_, err := b.Build(b.Context())
		b.isKind(events.Conflict, err)
		_, err = b.handle().Build(b.Context())
		b.isKind(events.Conflict, err)
		b.at(b, 1, g)
	}},
	{"of many builds at once one succeeds", func(b *bench) {
		handles := []store.Store{b.Store, b.handle()}
		won := 0
		for _, err := range together(16, func(n int) error { _, err := handles[n%2].Build(b.Context()); return err }) {
			if err == nil {
				won++
			} else {
				b.isKind(events.Conflict, err)
			}
		}
		assert.Equal(b, 1, won)
		b.at(b, 1, 2)
	}},
	{"a generation that is not being built is a conflict", func(b *bench) {
		check := func(g int) {
			b.Helper()
			b.isKind(events.Conflict, b.Rebuild(b.Context(), g, item("1", 0, "")))
			b.isKind(events.Conflict, b.Switch(b.Context(), g))
			b.isKind(events.Conflict, b.Abandon(b.Context(), g))
		}
		for _, g := range []int{-1, 0, 1, 2} {
			check(g)
		}
		built := b.build()
		for _, g := range []int{-1, 0, 1, 3} {
			check(g)
		}
		require.NoError(b, b.Switch(b.Context(), built))
		check(built)
		b.at(b, 2, 0)
		assert.Empty(b, b.list(b))
	}},
	{"what is abandoned is gone, and its number is not used again", func(b *bench) {
		b.mustPut(item("1", 0, ""))
		g := b.build()
		require.NoError(b, b.Rebuild(b.Context(), g, item("2", 0, "", "Cola")))
		require.NoError(b, b.Abandon(b.Context(), g))
		b.at(b, 1, 0)
		b.mustPut(item("3", 0, ""))
		assert.Equal(b, []string{"3", "1"}, b.list(b))
		next := b.build()
		assert.Greater(b, next, g)
		require.NoError(b, b.Switch(b.Context(), next))
		assert.Empty(b, b.list(b))
		assert.Empty(b, b.demand(b, store.DemandQuery{}))
	}},
	{"another handle sees each step at once", func(b *bench) {
		other := b.handle()
		require.NoError(b, other.Put(b.Context(), item("before", 0, "")))
		g := b.build()
		b.at(other, 1, g)
		require.NoError(b, other.Put(b.Context(), item("while", 0, "")))
		require.NoError(b, b.Switch(b.Context(), g))
		b.at(other, g, 0)
		assert.Equal(b, []string{"while"}, b.list(other))
		require.NoError(b, other.Put(b.Context(), item("after", 0, "")))
		assert.Equal(b, []string{"while", "after"}, b.list(b))
	}},
	{"a switch loses no put of another handle", func(b *bench) {
		other := b.handle()
		g := b.build()
		const n = 200
		errs := together(n+1, func(i int) error {
			if i == n/2 {
				return b.Switch(b.Context(), g)
			}
			return b.put([]store.Store{b.Store, other}[i%2], item(fmt.Sprint(i), i, "", "Cola"))
		})
		for _, err := range errs {
			require.NoError(b, err)
		}
		assert.Len(b, b.all(b, store.Query{Type: request, Limit: 100}), n)
		assert.EqualValues(b, n, b.demand(b, store.DemandQuery{})[0].Count)
	}},
	{"cursors outlive a switch", func(b *bench) {
		g := b.build()
		for n := range 9 {
			b.mustPut(item(fmt.Sprint(n), n, "", fmt.Sprint("drink", n)))
		}
		switched := false
		got := b.all(b, store.Query{Type: request, Limit: 2}, func() {
			if !switched {
				switched = true
				require.NoError(b, b.Switch(b.Context(), g))
			}
		})
		assert.Len(b, got, 9)
	}},
	{"a model is rebuilt several times", func(b *bench) {
		for round := 2; round < 6; round++ {
			b.mustPut(item("1", 0, "", "Cola"))
			g := b.build()
			require.Equal(b, round, g)
			require.NoError(b, b.Rebuild(b.Context(), g, item("1", 0, "", "Cola")))
			require.NoError(b, b.Switch(b.Context(), g))
		}
		assert.EqualValues(b, 1, b.demand(b, store.DemandQuery{})[0].Count)
	}},
}
