package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

// plan is the query plan of a statement, a line for each step.
func plan(t *testing.T, s *Store, text string) string {
	t.Helper()
	rows, err := s.readers.Query("EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
	require.NoError(t, err, text)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return strings.Join(steps, "\n")
}

func TestEveryQueryUsesAnIndex(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	check := func(text, index string) {
		got := plan(t, s, text)
		assert.Contains(t, got, index, text)
		assert.NotContains(t, got, "SCAN", text)
		assert.NotContains(t, got, "TEMP B-TREE", text)
	}
	for n := range 16 {
		var m store.Labels
		index, equal := "items_all", ""
		for i, label := range []*string{&m.Type, &m.Country, &m.City, &m.MachineID} {
			if column := []string{"kind", "country", "city", "machine"}[i]; n>>i&1 != 0 {
				*label, index, equal = "x", "items_"+column, " AND "+column+"=?"
			}
		}
		text, args := list("x", m)
		// The last part bounds the scan of the index: by the cursor above and since below.
		check(text, index+" (type=?"+equal+" AND created>? AND (created,id)<(?,?))")
		assert.Len(t, args, strings.Count(text, "?")-4)
	}
	for _, q := range []struct{ country, city, index string }{
		{"", "", "PRIMARY KEY ((country,city,drink)>(?,?,?))"},
		{"x", "", "PRIMARY KEY (country=? AND (city,drink)>(?,?))"},
		{"", "x", "demand_city (city=? AND (country,drink)>(?,?))"},
		{"x", "x", "PRIMARY KEY (country=? AND city=? AND drink>?)"},
	} {
		text, _ := demand(q.country, q.city, store.DemandKey{})
		check(text, q.index)
	}
	check(fields+" INDEXED BY items_id WHERE type = ? AND id = ?", "items_id (type=? AND id=?)")
}
