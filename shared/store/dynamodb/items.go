package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, eventType, id string) (item store.Item, err error) {
	err = s.living(ctx, func(generation int) error {
		if eventType == "" || id == "" || len(eventType) > store.MaxID || len(id) > store.MaxID {
			return store.Missing(id)
		}
		return s.call(ctx, func(ctx context.Context) error {
			out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
				TableName: &s.table, Key: keyOf(itemKey(generation, eventType, id), alone), ConsistentRead: aws.Bool(true),
			})
			if err != nil {
				return err
			}
			if len(out.Item) == 0 {
				return store.Missing(id)
			}
			item, err = fromRow(out.Item)
			return err
		})
	})
	if err != nil {
		return store.Item{}, err
	}
	return item, nil
}

// maxQueries is how many queries one page of a filtered list may take. Each looks at four times as many rows as the one before, until
// DynamoDB's limit of 1 MB a query (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html):
// at most 12 MB, or 1500 read units.
const maxQueries = 12

// List implements [store.Reader]. With several labels, of which the one that narrows most has its index read and the others are
// compared row by row, a page may come back short, even empty, with a Next that goes on behind what was looked at.
func (s *Store) List(ctx context.Context, q store.Query) (page store.Page, err error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	from, more, err := q.Start()
	if err != nil {
		return store.Page{}, err
	}
	err = s.living(ctx, func(generation int) error {
		var start *store.Position
		if more {
			start = &from
		}
		page, err = s.page(ctx, q, listing(s.table, generation, q, start), start)
		return err
	})
	if err != nil {
		return store.Page{}, err
	}
	return page, nil
}

// page follows a query until it has one item more than a page, the list ends, or it has cost enough.
func (s *Store) page(ctx context.Context, q store.Query, in *dynamodb.QueryInput, start *store.Position) (page store.Page, err error) {
	filtered := in.FilterExpression != nil
	want := q.Limit + 1
	for queries := 1; ; queries++ {
		limit := want - len(page.Items)
		if start != nil && queries == 1 {
			limit++ // the item at the cursor is read again
		}
		if filtered {
			limit = limit * 4 << (2 * min(queries-1, 6))
		}
		in.Limit = aws.Int32(int32(limit))
		var out *dynamodb.QueryOutput
		if err := s.call(ctx, func(ctx context.Context) (err error) { out, err = s.client.Query(ctx, in); return err }); err != nil {
			return store.Page{}, err
		}
		for _, v := range out.Items {
			item, err := fromRow(v)
			if err != nil {
				return store.Page{}, s.fault(ctx, err)
			}
			if start != nil && item.ID == start.ID && item.CreatedAt.Equal(start.CreatedAt) {
				continue
			}
			if len(page.Items) == q.Limit {
				page.Next = q.Next(page.Items[q.Limit-1])
				return page, nil
			}
			page.Items = append(page.Items, item)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return page, nil
		}
		if filtered && queries == maxQueries {
			created, id, err := fromWhen(dataOf(out.LastEvaluatedKey[at]))
			page.Next = q.Next(store.Item{CreatedAt: created, ID: id})
			return page, s.fault(ctx, err)
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// listing is the query of a list, newest first. It begins at the cursor, not behind it: a key condition has no "between, without the end".
func listing(table string, generation int, q store.Query, start *store.Position) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{TableName: &table, ScanIndexForward: aws.Bool(false), ExpressionAttributeNames: map[string]string{"#at": at}}
	m := q.Match.Folded()
	index, partition := listIndex, join(generation, q.Type)
	filters := key{}
	for _, label := range []struct{ index, value string }{
		{kindIndex, m.Type}, {countryIndex, m.Country}, {cityIndex, m.City}, {machineIndex, m.MachineID}, // the last wins
	} {
		if label.value == "" {
			continue
		}
		if index != listIndex {
			filters[":"+index] = text(partition)
		}
		index, partition = label.index, join(generation, q.Type, label.value)
	}
	since := milli(-1 << 63)
	if ms, bounded := q.SinceMilli(); bounded {
		since = milli(ms)
	}
	in.IndexName = &index
	in.ExpressionAttributeNames["#p"] = index
	in.ExpressionAttributeValues = key{":p": text(partition), ":since": data(since)}
	condition := "#p = :p AND #at >= :since"
	if start != nil {
		until := when(start.CreatedAt, start.ID)
		if string(until) < string(since) {
			until = since // DynamoDB refuses a range that is none
		}
		condition = "#p = :p AND #at BETWEEN :since AND :until"
		in.ExpressionAttributeValues[":until"] = data(until)
	}
	in.KeyConditionExpression = &condition
	filter(in, filters)
	return in
}

func filter(in *dynamodb.QueryInput, filters map[string]types.AttributeValue) {
	expression := ""
	for name, value := range filters {
		if expression != "" {
			expression += " AND "
		}
		expression += "#" + name[1:] + " = " + name
		in.ExpressionAttributeNames["#"+name[1:]] = name[1:]
		in.ExpressionAttributeValues[name] = value
	}
	if expression != "" {
		in.FilterExpression = &expression
	}
}
