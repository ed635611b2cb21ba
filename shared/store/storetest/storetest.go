// Package storetest is the contract suite of package store, one named test for each guarantee, for every implementation.
//
// It needs no sleeps: clocks are given, and concurrent work is waited for. Random tests print their seed.
package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Run tests read models, each guarantee on one of its own, in parallel. data makes an empty read model and returns how to
// open it: each call of open is another handle on the same data, as another process would have. The suite closes what it
// opens.
func Run(t *testing.T, data func(*testing.T) (open func() store.Store)) {
	for _, group := range []struct {
		name       string
		guarantees []guarantee
	}{
		{"put", puts}, {"list", lists}, {"cursor", cursors}, {"demand", demands}, {"marks", marks}, {"ends", ends},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, g := range group.guarantees {
				t.Run(g.name, func(t *testing.T) {
					t.Parallel()
					b := &bench{T: t, open: data(t)}
					b.Store = b.handle()
					g.test(b)
				})
			}
		})
	}
}

type guarantee struct {
	name string
	test func(*bench)
}

// bench is what a test works on: one handle, and the means to get more.
type bench struct {
	*testing.T
	store.Store
	open func() store.Store
}

// handle opens the same data again.
func (b *bench) handle() store.Store {
	s := b.open()
	b.Cleanup(func() { assert.NoError(b, s.Close()) })
	return s
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	contact = "contact-created"
	request = "request-created"
)

// item is a request, so many seconds after noon, whose content is its id and note.
func item(id string, seconds int, note string, drinks ...string) store.Item {
	data, err := json.Marshal(map[string]string{"id": id, "note": note})
	if err != nil {
		panic(err)
	}
	return store.Item{
		Type: request, ID: id, EventID: "event-" + id, CreatedAt: noon.Add(time.Duration(seconds) * time.Second),
		Data: data, Digest: sha256.Sum256(data), Labels: store.Labels{Country: "DE", City: "Berlin"}, Drinks: drinks,
	}
}

// put puts an item, again when the store is overloaded, as the contract says.
func (b *bench) put(s store.Store, i store.Item) error {
	for try := 0; ; try++ {
		err := s.Put(b.Context(), i)
		if events.KindOf(err) != events.Unavailable || try == 20 {
			return err
		}
	}
}

func (b *bench) mustPut(items ...store.Item) {
	b.Helper()
	for _, i := range items {
		require.NoError(b, b.Put(b.Context(), i))
	}
}

func (b *bench) get(s store.Store, i store.Item) store.Item {
	b.Helper()
	got, err := s.Get(b.Context(), i.Type, i.ID)
	require.NoError(b, err)
	return got
}

// all follows a list to its end, by pages of the query's limit; between does something after each page.
func (b *bench) all(s store.Store, q store.Query, between ...func()) []store.Item {
	b.Helper()
	var items []store.Item
	for pages := 0; ; pages++ {
		require.Less(b, pages, 2000, "the list does not end")
		page, err := s.List(b.Context(), q)
		require.NoError(b, err)
		require.LessOrEqual(b, len(page.Items), q.Limit)
		items = append(items, page.Items...)
		if page.Next == "" {
			return items
		}
		require.Len(b, page.Items, q.Limit, "only the last page may be short")
		q.Cursor = page.Next
		for _, do := range between {
			do()
		}
	}
}

func (b *bench) demand(s store.Store, q store.DemandQuery) []store.Demand {
	b.Helper()
	if q.Limit == 0 {
		q.Limit = store.MaxLimit
	}
	var rows []store.Demand
	for pages := 0; ; pages++ {
		require.Less(b, pages, 2000, "the demand does not end")
		page, err := s.Demand(b.Context(), q)
		require.NoError(b, err)
		require.LessOrEqual(b, len(page.Items), q.Limit)
		rows = append(rows, page.Items...)
		if page.Next == "" {
			return rows
		}
		q.Cursor = page.Next
	}
}

func isKind(t require.TestingT, kind events.Kind, err error) {
	require.Error(t, err)
	require.Equalf(t, kind, events.KindOf(err), "%v", err)
}

// page reads one page of the list of requests.
func (b *bench) page(s store.Store, q store.Query) store.Page {
	b.Helper()
	q.Type = request
	page, err := s.List(b.Context(), q)
	require.NoError(b, err)
	return page
}

// succeed runs n calls at once, none of which may fail.
func succeed(t require.TestingT, n int, call func(i int) error) {
	for _, err := range together(n, call) {
		require.NoError(t, err)
	}
}

// together runs n calls at once and returns their errors.
func together(n int, call func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

func (b *bench) random() *rand.Rand {
	seed := rand.Uint64()
	b.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func ids(items []store.Item) []string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = it.ID
	}
	return out
}
