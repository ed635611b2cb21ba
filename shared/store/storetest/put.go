package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

var puts = []guarantee{
	{"the first is kept as it was given", func(b *bench) {
		i := item("nul\x00 'quote\" ünï 🥤", 0, "x", "Cola ", "Ma\x00te", "")
		i.Data = []byte(" {\"a\" : \"\\u0000 ü\" ,\n\"b\":1e400}\n")
		i.Labels = store.Labels{City: " São\x00Paulo ", Country: "BR", MachineID: "m-1", Type: "Contact"}
		i.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("", 3600))
		b.mustPut(i)
		want := i
		want.CreatedAt = time.Date(2026, 1, 2, 2, 4, 5, 678_000_000, time.UTC)
		assert.Equal(b, want, b.get(b, i))
		assert.Equal(b, []store.Item{want}, b.all(b, store.Query{Type: request, Limit: 10}))
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
		assert.Equal(b, i, b.get(b, i))
		assert.Len(b, b.demand(b, store.DemandQuery{}), store.MaxDrinks)
		assert.Equal(b, []store.Item{i}, b.all(b, store.Query{Type: request, Match: i.Labels, Limit: 1}))
	}},
	{"the caller may reuse its memory", func(b *bench) {
		i, want := item("1", 0, "as put", "Cola"), item("1", 0, "as put", "Cola")
		b.mustPut(i)
		clear(i.Data)
		i.Drinks[0] = "Tee"
		assert.Equal(b, want, b.get(b, want))
	}},
	{"an id is unique within its type, and a missing one is not found", func(b *bench) {
		a, c := item("1", 0, "a"), store.Item{Type: contact, ID: "1", Data: []byte("{}"), Digest: [32]byte{1}}
		b.mustPut(a, c)
		assert.Equal(b, a, b.get(b, a))
		assert.Equal(b, c, b.get(b, c))
		for _, key := range [][2]string{{request, "2"}, {"machine-created", "1"}, {request, ""}, {"", "1"}, {request, "1\x00"},
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
		again := b.handle()
		require.NoError(b, again.Put(b.Context(), repeat))
		assert.Equal(b, i, b.get(again, i))
		assert.Equal(b, []store.Demand{{Country: "DE", City: "Berlin", Drink: "Cola", Count: 1}}, b.demand(again, store.DemandQuery{}))
	}},
	{"other content under the same id is a conflict that changes nothing and reveals no content", func(b *bench) {
		i := item("the-id", 0, "x", "Cola")
		b.mustPut(i)
		other := item("the-id", 9, "secret", "Tea")
		err := b.Put(b.Context(), other)
		isKind(b, events.Conflict, err)
		assert.ErrorContains(b, err, request)
		assert.ErrorContains(b, err, "the-id")
		assert.NotContains(b, err.Error(), "secret")
		assert.NotContains(b, err.Error(), "Tea")
		assert.Equal(b, []store.Item{i}, b.all(b, store.Query{Type: request, Limit: 10}))
		assert.Len(b, b.demand(b, store.DemandQuery{}), 1)
	}},
	{"an item beyond the limits is invalid and changes nothing", func(b *bench) {
		bad := map[string]func(*store.Item){
			"no type":    func(i *store.Item) { i.Type = "" },
			"no id":      func(i *store.Item) { i.ID = "" },
			"long id":    func(i *store.Item) { i.ID = strings.Repeat("i", store.MaxID+1) },
			"id no UTF8": func(i *store.Item) { i.ID = "a\xff" },
			"no digest":  func(i *store.Item) { i.Digest = [32]byte{} },
			"no data":    func(i *store.Item) { i.Data = nil },
			"no JSON":    func(i *store.Item) { i.Data = []byte(`{"a":`) },
			"large data": func(i *store.Item) { i.Data = []byte(`"` + strings.Repeat("d", store.MaxData) + `"`) },
			"drinks":     func(i *store.Item) { i.Drinks = make([]string, store.MaxDrinks+1) },
			"large text": func(i *store.Item) { i.Labels.City = strings.Repeat("c", store.MaxText) },
		}
		for name, spoil := range bad {
			i := item("1", 0, "", "Cola")
			spoil(&i)
			err := b.Put(b.Context(), i)
			require.Equalf(b, events.Invalid, events.KindOf(err), "%s: %v", name, err)
		}
		assert.Empty(b, b.all(b, store.Query{Type: request, Limit: 10}))
		assert.Empty(b, b.demand(b, store.DemandQuery{}))
	}},
	{"of 64 concurrent items with one id one is kept, its drinks counted once", func(b *bench) {
		handles := []store.Store{b.Store, b.handle()}
		errs := together(64, func(n int) error {
			return b.put(handles[n%2], item("1", n, fmt.Sprint("content ", n%4), "Cola", fmt.Sprint("drink ", n%4)))
		})
		kept := b.get(b, item("1", 0, ""))
		for n, err := range errs {
			if kept.Digest == item("1", 0, fmt.Sprint("content ", n%4)).Digest {
				assert.NoError(b, err)
			} else {
				assert.Equal(b, events.Conflict, events.KindOf(err), "%v", err)
			}
		}
		rows := b.demand(b, store.DemandQuery{})
		require.Len(b, rows, 2)
		assert.Equal(b, []int64{1, 1}, []int64{rows[0].Count, rows[1].Count})
		assert.Equal(b, kept.Drinks, []string{rows[0].Drink, rows[1].Drink})
	}},
	{"concurrent items through two handles are all kept, and bad ones do not affect the others", func(b *bench) {
		const n = 300
		handles := []store.Store{b.Store, b.handle()}
		b.mustPut(item("taken", 0, "first"))
		errs := together(n, func(i int) error {
			it := item(fmt.Sprint(i), i%7, "", "Cola")
			switch i % 10 {
			case 8:
				it.Digest = [32]byte{}
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
		assert.Len(b, b.all(b, store.Query{Type: request, Limit: 100}), n/10*8+1)
		assert.Equal(b, []store.Demand{{Country: "DE", City: "Berlin", Drink: "Cola", Count: n / 10 * 8}}, b.demand(b,
			store.DemandQuery{}))
	}},
}
