package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
)

// crowd stands for other processes: every other transaction has a conflict with them at all of its counters.
// DynamoDB Local, which runs one transaction at a time, reports no such conflict.
type crowd struct{ transactions int }

func (c *crowd) Do(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
		return http.DefaultClient.Do(r)
	}
	if c.transactions++; c.transactions%2 == 1 {
		return http.DefaultClient.Do(r)
	}
	var in struct{ TransactItems []map[string]json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	var reasons []map[string]string
	for _, action := range in.TransactItems {
		code := "None"
		if action["Update"] != nil {
			code = "TransactionConflict"
		}
		reasons = append(reasons, map[string]string{"Code": code})
	}
	body, err := json.Marshal(map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "CancellationReasons": reasons,
	})
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
}

func TestDrinksThatAreCountedInSeveralRowsAreOne(t *testing.T) {
	t.Parallel()
	cfg, table := local(t), newTable(t)
	cfg.HTTPClient = &crowd{}
	open := opener[store.Store](func() (store.Store, error) { return dynamodb.Open(cfg, table) })
	b := &bench{T: t, opener: open}
	b.Store = b.handle(t)
	require.NoError(t, b.Store.(*dynamodb.Store).Create(t.Context()))
	const requests = 8
	var all []store.Demand
	for _, country := range []string{"a", "b"} {
		for _, city := range []string{"", "c", "d"} {
			for n := range requests {
				b.mustPut(asking(fmt.Sprint(country, city, n), country, city, "cola", "cola zero", "tea"))
			}
			for _, drink := range []string{"cola", "cola zero", "tea"} {
				all = append(all, store.Demand{Country: country, City: city, Drink: drink, Count: requests})
			}
		}
	}
	rows, err := sdk.NewFromConfig(local(t)).Query(t.Context(), &sdk.QueryInput{
		TableName: &table, KeyConditionExpression: aws.String("pk = :p"), Select: types.SelectCount,
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: "1/demand"}},
	})
	require.NoError(t, err)
	assert.Greater(t, int(rows.Count), 2*len(all), "the drinks are not spread")
	for _, limit := range []int{1, 2, 5, len(all) - 1, len(all), 100} {
		assert.Equal(t, all, b.demand(store.DemandQuery{Limit: limit}), limit)
		assert.Equal(t, all[9:], b.demand(store.DemandQuery{Country: "b", Limit: limit}), limit)
		assert.Equal(t, append(all[3:6:6], all[12:15]...), b.demand(store.DemandQuery{City: "c", Limit: limit}), limit)
		assert.Equal(t, all[12:15], b.demand(store.DemandQuery{Country: "b", City: "c", Limit: limit}), limit)
	}
}
