package dynamodb

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

func TestEveryListUsesAnIndex(t *testing.T) {
	t.Parallel()
	for n := range 16 {
		var m store.Labels
		index, filters, partition := listIndex, []string{}, "1/t"
		for i, label := range []*string{&m.Type, &m.Country, &m.City, &m.MachineID} {
			if n>>i&1 == 0 {
				continue
			}
			if index != listIndex {
				filters = append(filters, "#"+index+" = :"+index)
			}
			index = []string{kindIndex, countryIndex, cityIndex, machineIndex}[i]
			*label, partition = "x"+index, "1/t/x"+index
		}
		in := listing(store.Query{Type: "t", Match: m}, nil)
		assert.Equal(t, index, *in.IndexName)
		assert.Equal(t, partition, textOf(in.ExpressionAttributeValues[":p"]))
		assert.False(t, *in.ScanIndexForward)
		if len(filters) == 0 {
			assert.Nil(t, in.FilterExpression)
			continue
		}
		for _, f := range filters {
			assert.Contains(t, *in.FilterExpression, f)
		}
		assert.NotContains(t, *in.FilterExpression, "#"+index+" ", "DynamoDB refuses a filter on a key")
	}
}

// A list with a filter that matches no items stops after some queries, and the next page continues from there.
func TestASparseFilterCostsABoundedPage(t *testing.T) {
	t.Parallel()
	s, f := faked(t, nil)
	last := store.Item{ID: "last", CreatedAt: request("1").CreatedAt}
	f.query = `{"Items":[],"LastEvaluatedKey":{"at":{"B":"` +
		base64.StdEncoding.EncodeToString(when(last.CreatedAt, last.ID)) + `"},"pk":{"S":"x"}}}`
	q := store.Query{Type: "t", Match: store.Labels{City: "a", Country: "b"}, Limit: 10}
	page, err := s.List(t.Context(), q)
	require.NoError(t, err)
	assert.Empty(t, page.Items)
	assert.Equal(t, q.Next(last), page.Next)
	require.Len(t, f.queries, maxQueries)
	assert.Contains(t, f.queries[0], `"Limit":44`)
	assert.Contains(t, f.queries[1], `"Limit":176`)
	assert.NotContains(t, f.queries[0], "ExclusiveStartKey")
	assert.Contains(t, f.queries[1], "ExclusiveStartKey")

	q.Cursor, f.queries = page.Next, nil
	f.query = `{"Items":[]}`
	page, err = s.List(t.Context(), q)
	require.NoError(t, err)
	assert.Empty(t, page.Next)
	require.Len(t, f.queries, 1)
	assert.Contains(t, f.queries[0], "ExclusiveStartKey")
}

func TestDemandUsesItsKeyOrAnIndex(t *testing.T) {
	t.Parallel()
	s, f := faked(t, nil)
	f.query = `{"Items":[]}`
	for _, q := range []store.DemandQuery{{Limit: 1}, {Limit: 1, Country: "DE", City: "Köln"}, {Limit: 1, City: "Köln"}} {
		_, err := s.Demand(t.Context(), q)
		require.NoError(t, err)
	}
	require.Len(t, f.queries, 3)
	for _, query := range f.queries[:2] {
		assert.Contains(t, query, `"ConsistentRead":true`)
		assert.Contains(t, query, `{"S":"1/demand"}`)
	}
	assert.Contains(t, f.queries[2], `"IndexName":"place"`)
	assert.Contains(t, f.queries[2], `{"S":"1/köln"}`)
	assert.NotContains(t, f.queries[2], "ConsistentRead", "an index cannot be read consistently")
}
