package dynamodb

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sipeat/sipeat/shared/store"
)

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, eventType, id string) (item store.Item, err error) {
	if len(id) > store.MaxID { // longer than a key may be
		return store.Item{}, store.Missing(id)
	}
	out, err := call(ctx, s.table, s.client.GetItem, &dynamodb.GetItemInput{TableName: &s.name,
		Key: keyOf(itemKey(eventType, id), noSortKey), ConsistentRead: aws.Bool(true)})
	switch {
	case err != nil:
		return store.Item{}, err
	case len(out.Item) == 0:
		return store.Item{}, store.Missing(id)
	}
	return itemOf(out.Item)
}

// maxQueries is how many queries one page of a filtered list may take. Each looks at four times as many rows as the one
// before, up to DynamoDB's limit of 1 MB a query
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html): at most 12 MB, or 1500 read
// units.
const maxQueries = 12

// List implements [store.Reader]. With several labels, the index of the most selective one is read and the others are
// compared row by row: a page may come back short, even empty, with a Next that continues after what was looked at.
func (s *Store) List(ctx context.Context, q store.Query) (page store.Page, err error) {
	start, err := q.Start()
	if err != nil {
		return store.Page{}, err
	}
	in := listing(q, start)
	for queries := 1; ; queries++ { // until there is one item more than a page, the list ends, or it has cost enough
		limit := q.Limit + 1 - len(page.Items)
		if in.FilterExpression != nil {
			limit = limit * 4 << (2 * min(queries-1, 6))
		}
		in.Limit = aws.Int32(int32(limit))
		rows, next, err := s.query(ctx, in)
		if err != nil {
			return store.Page{}, err
		}
		for _, r := range rows {
			item, err := itemOf(r)
			if err != nil {
				return store.Page{}, err
			}
			if len(page.Items) == q.Limit {
				page.Next = q.Next(page.Items[q.Limit-1])
				return page, nil
			}
			page.Items = append(page.Items, item)
		}
		if len(next) == 0 {
			return page, nil
		}
		if in.FilterExpression != nil && queries == maxQueries {
			created, id := fromWhen(dataOf(next[at]))
			page.Next = q.Next(store.Item{CreatedAt: created, ID: id})
			return page, nil
		}
		in.ExclusiveStartKey = next
	}
}

func listing(q store.Query, start *store.Position) *dynamodb.QueryInput {
	m := q.Match.Folded()
	index, partition := listIndex, join(q.Type)
	var filter []string
	in := &dynamodb.QueryInput{
		ScanIndexForward: aws.Bool(false), KeyConditionExpression: aws.String("#p = :p AND #at >= :since"),
		ExpressionAttributeNames: map[string]string{"#at": at}, ExpressionAttributeValues: row{":since": data(milli(q.SinceMilli()))},
	}
	for _, label := range labels {
		folded := label.of(m)
		if folded == "" {
			continue
		}
		if index != listIndex {
			filter = append(filter, "#"+index+" = :"+index)
			in.ExpressionAttributeNames["#"+index], in.ExpressionAttributeValues[":"+index] = index, text(partition)
		}
		index, partition = label.index, join(q.Type, folded)
	}
	in.IndexName, in.ExpressionAttributeNames["#p"], in.ExpressionAttributeValues[":p"] = &index, index, text(partition)
	if filter != nil {
		in.FilterExpression = aws.String(strings.Join(filter, " AND "))
	}
	if start != nil {
		in.ExclusiveStartKey = keyOf(itemKey(q.Type, start.ID), noSortKey)
		in.ExclusiveStartKey[index], in.ExclusiveStartKey[at] = text(partition), data(append(milli(start.Milli), start.ID...))
	}
	return in
}

// Demand implements [store.Reader]. The counters are in the order of the answer, the rows of each side by side; those of a city
// in every country are found by the index of their places.
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
		in.ExclusiveStartKey = keyOf(demandKey, pastCounter(counterKey(*start)))
	}
	switch {
	case country != "":
		prefix := ordered(country)
		if city != "" {
			prefix = ordered(country, city)
		}
		in.KeyConditionExpression = aws.String("pk = :p AND begins_with(sk, :s)")
		in.ExpressionAttributeValues[":s"] = data(prefix)
	case city != "":
		in.IndexName, in.ConsistentRead = aws.String(placeIndex), nil // an index cannot be read consistently
		in.KeyConditionExpression = aws.String("place = :p")
		in.ExpressionAttributeValues[":p"] = text(join(city))
		if start != nil {
			in.ExclusiveStartKey[placeIndex] = text(join(city))
			in.ExclusiveStartKey[at] = data(pastCounter(ordered(start.Country, start.Drink)))
		}
	}
	in.Limit = aws.Int32(int32(min(q.Limit+1, maxRead)))
	for { // until there is one drink more than a page, or the list ends
		rows, next, err := s.query(ctx, in)
		if err == nil && in.IndexName != nil {
			rows, err = s.counters(ctx, rows)
		}
		if err != nil {
			return store.DemandPage{}, err
		}
		for _, r := range rows {
			d := store.Demand{
				Country: textOf(r["shownCountry"]), City: textOf(r["shownCity"]), Drink: textOf(r["shownDrink"]), Count: numberOf(r["asked"]),
			}
			switch last := len(page.Items) - 1; {
			case last >= 0 && page.Items[last].Key() == d.Key():
				page.Items[last].Count += d.Count
			case last == q.Limit-1:
				page.Next = q.Next(page.Items[last].Key())
				return page, nil
			default:
				page.Items = append(page.Items, d)
			}
		}
		if len(next) == 0 {
			return page, nil
		}
		in.ExclusiveStartKey = next
	}
}

// counters reads the counters of rows of the index, in the index's order.
func (s *Store) counters(ctx context.Context, indexed []row) (rows []row, err error) {
	keys := make([]row, len(indexed))
	for i, r := range indexed {
		keys[i] = row{pk: r[pk], sk: r[sk]}
	}
	rows, err = s.get(ctx, keys)
	slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(dataOf(a[at]), dataOf(b[at])) })
	return rows, err
}
