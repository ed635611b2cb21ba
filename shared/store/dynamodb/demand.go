package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sipeat/sipeat/shared/store"
)

// Demand implements [store.Reader]. The counters are in the order of the answer; those of a city in every country are found by
// the index of their places.
func (s *Store) Demand(ctx context.Context, q store.DemandQuery) (page store.DemandPage, err error) {
	start, err := q.Start()
	if err != nil {
		return store.DemandPage{}, err
	}
	country, city := store.Fold(q.Country), store.Fold(q.City)
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :p"),
		ExpressionAttributeValues: row{":p": text(demandKey)},
		ConsistentRead:            aws.Bool(true),
	}
	if start != nil {
		in.ExclusiveStartKey = keyOf(demandKey, counterKey(*start))
	}
	switch {
	case country != "" && city != "":
		in.KeyConditionExpression = aws.String("pk = :p AND begins_with(sk, :s)")
		in.ExpressionAttributeValues[":s"] = data(ordered(country, city))
	case country != "":
		in.KeyConditionExpression = aws.String("pk = :p AND begins_with(sk, :s)")
		in.ExpressionAttributeValues[":s"] = data(ordered(country))
	case city != "":
		in.IndexName, in.ConsistentRead = aws.String(placeIndex), nil // an index cannot be read consistently
		in.KeyConditionExpression = aws.String("place = :p")
		in.ExpressionAttributeValues[":p"] = text(join(city))
		if start != nil {
			in.ExclusiveStartKey[placeIndex] = text(join(city))
			in.ExclusiveStartKey[at] = data(ordered(start.Country, start.Drink))
		}
	}
	rows, more, err := s.page(ctx, in, q.Limit)
	if err == nil && in.IndexName != nil {
		rows, err = s.counters(ctx, rows)
	}
	if err != nil {
		return store.DemandPage{}, err
	}
	for _, r := range rows {
		page.Items = append(page.Items, store.Demand{
			Country: textOf(r["shownCountry"]), City: textOf(r["shownCity"]), Drink: textOf(r["shownDrink"]), Count: numberOf(r["asked"]),
		})
	}
	if more && len(rows) > 0 {
		page.Next = q.Next(page.Items[len(rows)-1].Key())
	}
	return page, nil
}

// page reads at most limit rows, and reports whether there are more.
func (s *Store) page(ctx context.Context, in *dynamodb.QueryInput, limit int) (rows []row, more bool, err error) {
	for {
		in.Limit = aws.Int32(int32(limit + 1 - len(rows)))
		found, next, err := s.query(ctx, in)
		if rows = append(rows, found...); len(rows) > limit {
			return rows[:limit], true, err
		}
		if err != nil || len(next) == 0 {
			return rows, false, err
		}
		in.ExclusiveStartKey = next
	}
}

// counters reads the counters of rows of the index, in their order.
func (s *Store) counters(ctx context.Context, indexed []row) (rows []row, err error) {
	keys := make([]row, len(indexed))
	for i, r := range indexed {
		keys[i] = row{pk: r[pk], sk: r[sk]}
	}
	found, err := s.get(ctx, keys)
	bySortKey := map[string]row{}
	for _, r := range found {
		bySortKey[string(dataOf(r[sk]))] = r
	}
	for _, k := range keys {
		if r, ok := bySortKey[string(dataOf(k[sk]))]; ok {
			rows = append(rows, r)
		}
	}
	return rows, err
}
