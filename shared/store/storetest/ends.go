package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// calls is every method that takes a context, each of which would change something if it could.
func calls(s store.Store, building int) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get": func(ctx context.Context) error { _, err := s.Get(ctx, request, "kept"); return err },
		"List": func(ctx context.Context) error {
			_, err := s.List(ctx, store.Query{Type: request, Limit: 1})
			return err
		},
		"Demand":      func(ctx context.Context) error { _, err := s.Demand(ctx, store.DemandQuery{Limit: 1}); return err },
		"Put":         func(ctx context.Context) error { return s.Put(ctx, item("new", 0, "", "Cola")) },
		"Claim":       func(ctx context.Context) error { _, _, err := s.Claim(ctx, "claim", lease); return err },
		"Complete":    func(ctx context.Context) error { return s.Complete(ctx, "complete") },
		"Release":     func(ctx context.Context) error { return s.Release(ctx, "held") },
		"Generations": func(ctx context.Context) error { _, _, err := s.Generations(ctx); return err },
		"Build":       func(ctx context.Context) error { _, err := s.Build(ctx); return err },
		"Rebuild":     func(ctx context.Context) error { return s.Rebuild(ctx, building, item("new", 0, "")) },
		"Switch":      func(ctx context.Context) error { return s.Switch(ctx, building) },
		"Abandon":     func(ctx context.Context) error { return s.Abandon(ctx, building) },
		"Ping":        s.Ping,
	}
}

var ends = []promise{
	{"a context that has ended makes every call unavailable, and changes nothing", func(b *bench) {
		b.mustPut(item("kept", 0, ""))
		b.claim(b, "held")
		g := b.build()
		late, cancel := context.WithDeadline(b.Context(), noon.Add(-1000*time.Hour))
		defer cancel()
		for name, call := range calls(b, g) {
			err := call(b.ended())
			require.Equal(b, events.Unavailable, events.KindOf(err), "%s: %v", name, err)
			require.ErrorIs(b, err, context.Canceled, name)
			err = call(late)
			require.Equal(b, events.Unavailable, events.KindOf(err), "%s: %v", name, err)
			require.ErrorIs(b, err, context.DeadlineExceeded, name)
		}
		b.at(b, 1, g)
		assert.Equal(b, []string{"kept"}, b.list(b))
		assert.Equal(b, store.Claimed, b.claim(b, "claim"))
		assert.Equal(b, store.Claimed, b.claim(b, "complete"))
		assert.Equal(b, store.Held, b.claim(b, "held"))
		require.NoError(b, b.Switch(b.Context(), g))
		assert.Empty(b, b.list(b))
	}},
	{"contexts that end on the way leave all or nothing, and hinder no others", func(b *bench) {
		const n = 200
		errs := together(n, func(i int) error {
			it := item(fmt.Sprint(i), 0, "", "Cola")
			if i%2 == 1 {
				return b.put(b, it)
			}
			ctx, cancel := context.WithCancel(b.Context())
			go cancel()
			return b.Put(ctx, it)
		})
		for i, err := range errs {
			if i%2 == 1 {
				require.NoError(b, err)
			} else if err != nil {
				b.isKind(events.Unavailable, err)
			}
		}
		kept := b.all(b, store.Query{Type: request, Limit: 100})
		assert.GreaterOrEqual(b, len(kept), n/2)
		assert.EqualValues(b, len(kept), b.demand(b, store.DemandQuery{})[0].Count)
	}},
	{"a store that answers is pinged", func(b *bench) { require.NoError(b, b.Ping(b.Context())) }},
	{"a closed store is unavailable, and closing it again does nothing", func(b *bench) {
		b.mustPut(item("kept", 0, ""))
		require.NoError(b, b.Close())
		for name, call := range calls(b, 2) {
			err := call(b.Context())
			require.Equal(b, events.Unavailable, events.KindOf(err), "%s: %v", name, err)
		}
		require.NoError(b, b.Close())
	}},
	{"closing ends what is under way: it is kept, or unavailable", func(b *bench) {
		const n = 100
		errs := together(n, func(i int) error {
			if i == n/2 {
				return b.Close()
			}
			return b.Put(b.Context(), item(fmt.Sprint(i), 0, ""))
		})
		again := b.handle()
		for i, err := range errs {
			if i == n/2 {
				require.NoError(b, err)
			} else if err == nil {
				b.get(again, item(fmt.Sprint(i), 0, ""))
			} else {
				b.isKind(events.Unavailable, err)
			}
		}
	}},
	{"one handle closes without the other", func(b *bench) {
		other := b.handle()
		b.mustPut(item("1", 0, ""))
		require.NoError(b, b.Close())
		require.NoError(b, other.Put(b.Context(), item("2", 0, "")))
		assert.Equal(b, []string{"2", "1"}, b.list(other))
	}},
}
