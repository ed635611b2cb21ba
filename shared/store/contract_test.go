// The contract of read models, in a test for each guarantee that runs over every implementation. The tests need no sleeps:
// clocks are inputs, and concurrent work is waited for. Random tests print their seed.
package store_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
)

// opener opens the same data each time, as another process would.
type opener[T io.Closer] func() (T, error)

func (o opener[T]) handle(t *testing.T) T {
	t.Helper()
	handle, err := o()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, handle.Close()) })
	return handle
}

// implementations make an empty read model, and empty claims.
var implementations = map[string]struct {
	model  func(*testing.T) opener[store.Store]
	claims func(*testing.T, func() time.Time) opener[store.Claims]
}{
	"sqlite": {
		func(t *testing.T) opener[store.Store] {
			path := filepath.Join(t.TempDir(), "model.db")
			return func() (store.Store, error) { return sqlite.Open(t.Context(), path) }
		},
		func(t *testing.T, clock func() time.Time) opener[store.Claims] {
			path := filepath.Join(t.TempDir(), "claims.db")
			return func() (store.Claims, error) { return sqlite.OpenClaims(t.Context(), path, clock) }
		},
	},
	"dynamodb": {
		func(t *testing.T) opener[store.Store] {
			cfg, name := local(t), newTable(t)
			s, err := dynamodb.Open(cfg, name)
			require.NoError(t, err)
			require.NoError(t, s.Create(t.Context()))
			return func() (store.Store, error) { return dynamodb.Open(cfg, name) }
		},
		func(t *testing.T, clock func() time.Time) opener[store.Claims] {
			cfg, name := local(t), newTable(t)
			c, err := dynamodb.OpenClaims(cfg, name, clock)
			require.NoError(t, err)
			require.NoError(t, c.Create(t.Context()))
			require.NoError(t, c.Create(t.Context()), "once more")
			require.NoError(t, c.Check(t.Context()))
			return func() (store.Claims, error) { return dynamodb.OpenClaims(cfg, name, clock) }
		},
	},
}

// local returns the config of the DynamoDB for tests; without one they are skipped.
func local(t *testing.T) aws.Config {
	t.Helper()
	if os.Getenv("DYNAMODB_ENDPOINT") == "" {
		t.Skip("set DYNAMODB_ENDPOINT to the address of a DynamoDB Local, such as http://127.0.0.1:18000, as `make up` starts it")
	}
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	require.NoError(t, err)
	return cfg
}

// newTable returns the name of a table that is deleted at the end of the test.
func newTable(t *testing.T) string {
	name := "test-" + uuid.NewString()
	t.Cleanup(func() {
		_, err := sdk.NewFromConfig(local(t)).DeleteTable(context.Background(), &sdk.DeleteTableInput{TableName: &name})
		if err != nil {
			t.Logf("table %s is left: %v", name, err)
		}
	})
	return name
}

func TestAMissingTableIsNamed(t *testing.T) {
	t.Parallel()
	s, err := dynamodb.Open(local(t), "there-is-none")
	require.NoError(t, err)
	err = s.Ping(t.Context())
	require.ErrorContains(t, err, `"there-is-none" at http`)
	require.ErrorContains(t, err, "`worker` and `rebuild`")
}

func TestATableWithAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	name := newTable(t)
	s, err := dynamodb.Open(local(t), name)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context()))
	c, err := dynamodb.OpenClaims(local(t), name, time.Now)
	require.NoError(t, err)
	for _, check := range []func(context.Context) error{c.Create, c.Check} {
		err := check(t.Context())
		isKind(t, events.Unavailable, err)
		require.ErrorContains(t, err, "has another key")
	}
}

func TestReadModels(t *testing.T) {
	t.Parallel()
	for name, implementation := range implementations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "dynamodb" {
				local(t)
			}
			for _, g := range slices.Concat(puts, lists, cursors, demands, marks) {
				t.Run(g.name, func(t *testing.T) {
					t.Parallel()
					b := &bench{T: t, opener: implementation.model(t)}
					b.Store = b.handle(t)
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
	opener[store.Store]
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

// kept is an item as a store returns it.
func kept(i store.Item) store.Item {
	i.Labels, i.Drinks = store.Labels{}, nil
	return i
}

// patiently makes a call, again when the store is overloaded, as the contract says.
func patiently[T any](call func() (T, error)) (T, error) {
	for end := time.Now().Add(time.Minute); ; {
		v, err := call()
		if events.KindOf(err) != events.Unavailable || time.Now().After(end) {
			return v, err
		}
	}
}

func (b *bench) put(s store.Store, i store.Item) error {
	_, err := patiently(func() (any, error) { return nil, s.Put(b.Context(), i) })
	return err
}

func (b *bench) mustPut(items ...store.Item) {
	b.Helper()
	for _, i := range items {
		require.NoError(b, b.put(b, i))
	}
}

func (b *bench) get(s store.Store, i store.Item) store.Item {
	b.Helper()
	got, err := patiently(func() (store.Item, error) { return s.Get(b.Context(), i.Type, i.ID) })
	require.NoError(b, err)
	return got
}

// page reads one page of the list of requests.
func (b *bench) page(s store.Store, q store.Query) store.Page {
	b.Helper()
	q.Type = cmp.Or(q.Type, request)
	page, err := patiently(func() (store.Page, error) { return s.List(b.Context(), q) })
	require.NoError(b, err)
	require.LessOrEqual(b, len(page.Items), q.Limit)
	return page
}

// all follows a list to its end, by pages of the query's limit; between does something after each page.
func (b *bench) all(q store.Query, between ...func()) (items []store.Item) {
	b.Helper()
	q.Limit = cmp.Or(q.Limit, store.MaxLimit)
	for range 2000 {
		page := b.page(b, q)
		items = append(items, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return items
		}
		require.Len(b, page.Items, q.Limit, "only the last page may be short")
		for _, do := range between {
			do()
		}
	}
	require.Fail(b, "the list does not end")
	return nil
}

func (b *bench) demand(q store.DemandQuery) (rows []store.Demand) {
	b.Helper()
	q.Limit = cmp.Or(q.Limit, store.MaxLimit)
	for range 2000 {
		page, err := patiently(func() (store.DemandPage, error) { return b.Demand(b.Context(), q) })
		require.NoError(b, err)
		require.LessOrEqual(b, len(page.Items), q.Limit)
		rows = append(rows, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return rows
		}
	}
	require.Fail(b, "the demand does not end")
	return nil
}

func isKind(t require.TestingT, kind events.Kind, err error) {
	require.Error(t, err)
	require.Equalf(t, kind, events.KindOf(err), "%v", err)
}

// ended checks that every call is unavailable with a context that has ended.
func ended(t *testing.T, calls map[string]func(context.Context) error) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		err := call(ctx)
		isKind(t, events.Unavailable, err)
		require.ErrorIs(t, err, context.Canceled, name)
	}
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
