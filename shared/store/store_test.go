package store_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

func TestFold(t *testing.T) {
	for given, want := range map[string]string{
		"": "", " \t\u00a0": "", " Berlin\n": "berlin", "SÃO  Paulo": "são  paulo", "ΑΘΉΝΑ": "αθήνα", "a\x00B": "a\x00b",
		"a\xffB":                             "a\uFFFDb",
		strings.Repeat("a", 300):             strings.Repeat("a", store.FoldedBytes),
		strings.Repeat("a", 255) + "üx":      strings.Repeat("a", 255),
		strings.Repeat("a", 255) + " b":      strings.Repeat("a", 255),
		strings.Repeat(" ", 300) + "Köln   ": "köln",
	} {
		got := store.Fold(given)
		assert.Equal(t, want, got)
		assert.Equal(t, got, store.Fold(got), "folding is idempotent")
	}
}

func TestDemandEntries(t *testing.T) {
	i := store.Item{Labels: store.Labels{Country: " De ", City: "Köln"}, Drinks: []string{"Cola ", "", " COLA", "Tea"}}
	de := func(drink string) store.DemandKey { return store.DemandKey{Country: "de", City: "köln", Drink: drink} }
	assert.Equal(t, []store.DemandEntry{
		{DemandKey: de("cola"), Shown: store.Demand{Country: "De", City: "Köln", Drink: "Cola", Count: 1}},
		{DemandKey: de("tea"), Shown: store.Demand{Country: "De", City: "Köln", Drink: "Tea", Count: 1}},
	}, i.DemandEntries())
}

func TestCursorsKeepTheirPlace(t *testing.T) {
	q := store.Query{Type: "t", Match: store.Labels{City: "Köln"}, Since: time.UnixMilli(-5), Limit: 1}
	for _, last := range []store.Item{{ID: "1", CreatedAt: time.UnixMilli(1_790_000_000_123)}, {ID: "a\x00<ü",
		CreatedAt: time.UnixMilli(-1)}, {}} {
		q.Cursor = q.Next(last)
		at, err := q.Start()
		require.NoError(t, err)
		assert.Equal(t, &store.Position{Milli: last.CreatedAt.UnixMilli(), ID: last.ID}, at)
	}
	d := store.DemandQuery{City: "Köln", Limit: 1}
	key := store.DemandKey{City: "köln", Drink: "\x00"}
	d.Cursor = d.Next(key)
	at, err := d.Start()
	require.NoError(t, err)
	assert.Equal(t, &key, at)
}

func FuzzCursor(f *testing.F) {
	q := store.Query{Type: "t", Limit: 1}
	f.Add(q.Next(store.Item{ID: "1"}))
	f.Add(store.DemandQuery{}.Next(store.DemandKey{Drink: "cola"}))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte("twelve bytes{}")))
	f.Fuzz(func(t *testing.T, cursor string) {
		q.Cursor = cursor
		_, err := q.Start()
		if err != nil {
			assert.Equal(t, events.Invalid, events.KindOf(err))
		}
		_, err = store.DemandQuery{Limit: 1, Cursor: cursor}.Start()
		if err != nil {
			assert.Equal(t, events.Invalid, events.KindOf(err))
		}
	})
}
