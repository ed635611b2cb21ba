package store_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

var puts = []guarantee{
	{"the first is kept as it was given, without labels and drinks", func(b *bench) {
		i := item("nul\x00 'quote\" ünï 🥤", 0, "x", "Cola ", "Ma\x00te", "")
		i.Data = []byte(" {\"a\" : \"\\u0000 ü\" ,\n\"b\":1e400}\n")
		i.Labels = store.Labels{City: " São\x00Paulo ", Country: "BR", MachineID: "m-1", Type: "Contact"}
		i.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("", 3600))
		b.mustPut(i)
		want := kept(i)
		want.CreatedAt = time.Date(2026, 1, 2, 2, 4, 5, 678_000_000, time.UTC)
		assert.Equal(b, want, b.get(b, i))
		assert.Equal(b, []store.Item{want}, b.all(store.Query{}))
	}},
	{"the largest item is kept", func(b *bench) {
		i := item(strings.Repeat("i", store.MaxID), 0, "")
		i.Data = []byte(`"` + strings.Repeat("d", store.MaxData-2) + `"`)
		long := strings.Repeat("ü", 5000)
		i.Labels = store.Labels{City: long, Country: long, MachineID: long, Type: long}
		for n := range store.MaxDrinks {
			i.Drinks = append(i.Drinks, fmt.Sprintf("drink %02d %s", n, strings.Repeat("x", 300)))
		}
		b.mustPut(i)
		assert.Equal(b, i.Data, b.get(b, i).Data)
		assert.Len(b, b.demand(store.DemandQuery{}), store.MaxDrinks)
		assert.Equal(b, []string{i.ID}, ids(b.all(store.Query{Match: i.Labels})))
	}},
	{"an id is unique within its type, and a missing one is not found", func(b *bench) {
		a, c := item("1", 0, "a"), store.Item{Type: contact, ID: "1", Data: []byte("{}"), Digest: [32]byte{1}}
		b.mustPut(a, c)
		assert.Equal(b, kept(a), b.get(b, a))
		assert.Equal(b, c, b.get(b, c))
		for _, key := range [][2]string{{request, "2"}, {"machine-created", "1"}, {request, ""}, {request, "1\x00"},
			{request, strings.Repeat("/", store.MaxData)}} {
			_, err := b.Get(b.Context(), key[0], key[1])
			isKind(b, events.NotFound, err)
		}
	}},
	{"a repeat changes nothing, even after the store was opened again", func(b *bench) {
		i := item("1", 0, "x", "Cola")
		b.mustPut(i)
		repeat := i
		repeat.EventID, repeat.CreatedAt, repeat.Drinks = "another", noon.Add(time.Hour), []string{"Cola", "Tea"}
		b.mustPut(i, repeat)
		require.NoError(b, b.Close())
		b.Store = b.handle(b.T)
		b.mustPut(repeat)
		assert.Equal(b, kept(i), b.get(b, i))
		assert.Equal(b, []store.Demand{{Country: "DE", City: "Berlin", Drink: "Cola", Count: 1}}, b.demand(store.DemandQuery{}))
	}},
	{"other content under the same id is a conflict that changes nothing and reveals no content", func(b *bench) {
		i := item("the-id", 0, "x", "Cola")
		b.mustPut(i)
		err := b.Put(b.Context(), item("the-id", 9, "secret", "Tea"))
		isKind(b, events.Conflict, err)
		assert.ErrorContains(b, err, request+` "the-id"`)
		assert.NotContains(b, err.Error(), "secret")
		assert.NotContains(b, err.Error(), "Tea")
		assert.Equal(b, []store.Item{kept(i)}, b.all(store.Query{}))
		assert.Len(b, b.demand(store.DemandQuery{}), 1)
	}},
	{"an item beyond the limits is invalid and changes nothing", func(b *bench) {
		for name, spoil := range map[string]func(*store.Item){
			"no id":      func(i *store.Item) { i.ID = "" },
			"long id":    func(i *store.Item) { i.ID = strings.Repeat("i", store.MaxID+1) },
			"id no UTF8": func(i *store.Item) { i.ID = "a\xff" },
			"large data": func(i *store.Item) { i.Data = []byte(`"` + strings.Repeat("d", store.MaxData) + `"`) },
			"drinks":     func(i *store.Item) { i.Drinks = make([]string, store.MaxDrinks+1) },
			"large text": func(i *store.Item) { i.Labels.City = strings.Repeat("c", store.MaxText) },
		} {
			i := item("1", 0, "", "Cola")
			spoil(&i)
			err := b.Put(b.Context(), i)
			require.Equalf(b, events.Invalid, events.KindOf(err), "%s: %v", name, err)
		}
		assert.Empty(b, b.all(store.Query{}))
		assert.Empty(b, b.demand(store.DemandQuery{}))
	}},
	{"of 64 concurrent items with one id one is kept, its drinks counted once", func(b *bench) {
		handles := []store.Store{b.Store, b.handle(b.T)}
		errs := together(64, func(n int) error {
			return b.put(handles[n%2], item("1", n, fmt.Sprint("content ", n%4), "Cola", fmt.Sprint("drink ", n%4)))
		})
		kept, drink := b.get(b, item("1", 0, "")), ""
		for n, err := range errs {
			if kept.Digest == item("1", 0, fmt.Sprint("content ", n%4)).Digest {
				assert.NoError(b, err)
				drink = fmt.Sprint("drink ", n%4)
			} else {
				isKind(b, events.Conflict, err)
			}
		}
		rows := b.demand(store.DemandQuery{})
		require.Len(b, rows, 2)
		assert.Equal(b, []int64{1, 1}, []int64{rows[0].Count, rows[1].Count})
		assert.Equal(b, []string{"Cola", drink}, []string{rows[0].Drink, rows[1].Drink})
	}},
	{"concurrent items through two handles are all kept, and bad ones do not affect the others", func(b *bench) {
		const n = 300
		handles := []store.Store{b.Store, b.handle(b.T)}
		b.mustPut(item("taken", 0, "first"))
		errs := together(n, func(i int) error {
			it := item(fmt.Sprint(i), i%7, "", "Cola")
			switch i % 10 {
			case 8:
				it.ID = "\xff"
			case 9:
				it.ID = "taken"
			}
			return b.put(handles[i/10%2], it)
		})
		for i, err := range errs {
			switch i % 10 {
			case 8:
				isKind(b, events.Invalid, err)
			case 9:
				isKind(b, events.Conflict, err)
			default:
				require.NoError(b, err)
			}
		}
		assert.Len(b, b.all(store.Query{}), n/10*8+1)
		assert.Equal(b, []store.Demand{{Country: "DE", City: "Berlin", Drink: "Cola", Count: n / 10 * 8}},
			b.demand(store.DemandQuery{}))
	}},
	{"a context that has ended makes every call unavailable, and changes nothing", func(b *bench) {
		b.mustPut(item("kept", 0, ""))
		ended(b.T, map[string]func(context.Context) error{
			"Get": func(ctx context.Context) error { _, err := b.Get(ctx, request, "kept"); return err },
			"List": func(ctx context.Context) error {
				_, err := b.List(ctx, store.Query{Type: request, Limit: 1})
				return err
			},
			"Demand":  func(ctx context.Context) error { _, err := b.Demand(ctx, store.DemandQuery{Limit: 1}); return err },
			"Put":     func(ctx context.Context) error { return b.Put(ctx, item("new", 0, "", "Cola")) },
			"Advance": func(ctx context.Context) error { return b.Advance(ctx, request, nil, at(0, 9)) },
			"Marks":   func(ctx context.Context) error { _, err := b.Marks(ctx); return err },
			"Ping":    b.Ping,
		})
		assert.Equal(b, []string{"kept"}, ids(b.all(store.Query{})))
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
		kept := b.all(store.Query{})
		assert.GreaterOrEqual(b, len(kept), n/2)
		assert.EqualValues(b, len(kept), b.demand(store.DemandQuery{})[0].Count)
	}},
	{"closing ends what is under way: it is kept, or unavailable", func(b *bench) {
		const n = 100
		errs := together(n, func(i int) error {
			if i == n/2 {
				return b.Close()
			}
			return b.Put(b.Context(), item(fmt.Sprint(i), 0, ""))
		})
		require.NoError(b, b.Close(), "once more")
		again := b.handle(b.T)
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
