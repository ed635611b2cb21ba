package storetest

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// calls are all methods that take a context, each of which would change something if it could.
func calls(s store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get": func(ctx context.Context) error { _, err := s.Get(ctx, request, "kept"); return err },
		"List": func(ctx context.Context) error {
			_, err := s.List(ctx, store.Query{Type: request, Limit: 1})
			return err
		},
		"Demand":  func(ctx context.Context) error { _, err := s.Demand(ctx, store.DemandQuery{Limit: 1}); return err },
		"Put":     func(ctx context.Context) error { return s.Put(ctx, item("new", 0, "", "Cola")) },
		"Advance": func(ctx context.Context) error { return s.Advance(ctx, request, nil, map[int32]int64{0: 9}) },
		"Marks":   func(ctx context.Context) error { _, err := s.Marks(ctx); return err },
		"Ping":    s.Ping,
	}
}

// unavailable checks that every call fails with a context that has ended.
func unavailable(t *testing.T, calls map[string]func(context.Context) error) {
	late, cancel := context.WithDeadline(t.Context(), noon.Add(-1000*time.Hour))
	defer cancel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		for _, ctx := range []context.Context{canceled, late} {
			err := call(ctx)
			require.Equal(t, events.Unavailable, events.KindOf(err), "%s: %v", name, err)
			require.ErrorIs(t, err, ctx.Err(), name)
		}
	}
}

// closed checks that every call fails after Close.
func closed(t *testing.T, c io.Closer, calls map[string]func(context.Context) error) {
	require.NoError(t, c.Close())
	for name, call := range calls {
		err := call(t.Context())
		require.Equal(t, events.Unavailable, events.KindOf(err), "%s: %v", name, err)
	}
	require.NoError(t, c.Close())
}

var ends = []guarantee{
	{"a context that has ended makes every call unavailable, and changes nothing", func(b *bench) {
		b.mustPut(item("kept", 0, ""))
		unavailable(b.T, calls(b))
		assert.Equal(b, []string{"kept"}, ids(b.page(b, store.Query{Limit: 100}).Items))
		b.marked(store.Marks{})
	}},
	{"contexts that end on the way leave all or nothing, and do not affect other calls", func(b *bench) {
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
				isKind(b, events.Unavailable, err)
			}
		}
		kept := b.all(b, store.Query{Type: request, Limit: 100})
		assert.GreaterOrEqual(b, len(kept), n/2)
		assert.EqualValues(b, len(kept), b.demand(b, store.DemandQuery{})[0].Count)
	}},
	{"a closed store is unavailable, and closing it again does nothing", func(b *bench) {
		b.mustPut(item("kept", 0, ""))
		closed(b.T, b.Store, calls(b))
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
				isKind(b, events.Unavailable, err)
			}
		}
	}},
}
