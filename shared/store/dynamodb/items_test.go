package dynamodb

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

func TestEveryListIsServedByAnIndex(t *testing.T) {
	t.Parallel()
	for n := range 16 {
		var m store.Labels
		index, filters, partition := listIndex, []string{}, "1/t"
		take := func(name, value string, label *string) {
			if index != listIndex {
				filters = append(filters, "#"+index+" = :"+index)
			}
			*label, index, partition = value, name, "1/t/"+value
		}
		if n&1 != 0 {
			take(kindIndex, "d", &m.Type)
		}
		if n&2 != 0 {
			take(countryIndex, "b", &m.Country)
		}
		if n&4 != 0 {
			take(cityIndex, "a", &m.City)
		}
		if n&8 != 0 {
			take(machineIndex, "c", &m.MachineID)
		}
		in := listing("drinks", 1, store.Query{Type: "t", Match: m}, nil)
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

// A filter that nothing passes gives up after some queries, and the next page goes on from there.
func TestASparseFilterCostsABoundedPage(t *testing.T) {
	t.Parallel()
	s, f := faked(t, nil)
	last := store.Item{ID: "last", CreatedAt: request("1").CreatedAt}
	f.query = `{"Items":[],"LastEvaluatedKey":{"at":{"B":"` + base64.StdEncoding.EncodeToString(when(last.CreatedAt, last.ID)) + `"},"pk":{"S":"x"}}}`
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
	assert.Contains(t, f.queries[0], "BETWEEN :since AND :until")
}

func TestDemandIsServedByItsKeyOrAnIndex(t *testing.T) {
	t.Parallel()
	in := counting("drinks", "", demandKey(1), nil, beyond(nil))
	assert.True(t, *in.ConsistentRead)
	assert.Equal(t, "1/demand", textOf(in.ExpressionAttributeValues[":p"]))
	in = counting("drinks", placeIndex, join(1, "köln"), ordered("", "a"), beyond(nil))
	assert.Equal(t, placeIndex, *in.IndexName)
	assert.Nil(t, in.ConsistentRead, "an index cannot be read so")
}
