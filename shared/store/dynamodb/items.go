package dynamodb

import (
	"cmp"
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sipeat/sipeat/shared/store"
)

// Get implements [store.Reader].
func (s *Store) Get(ctx context.Context, eventType, id string) (item store.Item, err error) {
	key := itemKey(eventType, id)
	if id == "" || len(eventType) > store.MaxID || len(id) > store.MaxID {
		key = itemKey(eventType[:min(len(eventType), store.MaxID)], "-/-") // it does not exist, if the store can be reached
	}
	var found row
	err = s.call(ctx, func(ctx context.Context) error {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.name, Key: keyOf(key, noSortKey),
			ConsistentRead: aws.Bool(true)})
		if err == nil {
			found = out.Item
		}
		return err
	})
	switch {
	case err != nil:
		return store.Item{}, err
	case len(found) == 0:
		return store.Item{}, store.Missing(id)
	}
	item, err = itemOf(found)
	return item, s.fault(ctx, err)
}

// maxQueries is how many queries one page of a filtered list may take. Each looks at four times as many rows as the one
// before, up to DynamoDB's limit of 1 MB a query
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html): at most 12 MB, or 1500 read
// units.
const maxQueries = 12

// List implements [store.Reader]. With several labels, the index of the most selective one is read and the others are
// compared row by row: a page may come back short, even empty, with a Next that continues after what was looked at.
func (s *Store) List(ctx context.Context, q store.Query) (page store.Page, err error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	from, more, err := q.Start()
	if err != nil {
		return store.Page{}, err
	}
	var start *store.Position
	if more {
		start = &from
	}
	in := listing(q, start)
	filtered := in.FilterExpression != nil
	for queries := 1; ; queries++ { // until there is one item more than a page, the list ends, or it has cost enough
		limit := q.Limit + 1 - len(page.Items)
		if more && queries == 1 {
			limit++ // the item at the cursor is read again
		}
		if filtered {
			limit = limit * 4 << (2 * min(queries-1, 6))
		}
		in.Limit = aws.Int32(int32(limit))
		full, bad := false, error(nil)
		next, err := s.query(ctx, in, func(r row) bool {
			item, err := itemOf(r)
			switch {
			case err != nil:
				bad = err
			case more && item.ID == from.ID && item.CreatedAt.Equal(from.CreatedAt):
			case len(page.Items) == q.Limit:
				full = true
			default:
				page.Items = append(page.Items, item)
			}
			return !full && bad == nil
		})
		if err = s.fault(ctx, cmp.Or(err, bad)); err != nil {
			return store.Page{}, err
		}
		if full {
			page.Next = q.Next(page.Items[q.Limit-1])
			return page, nil
		}
		if len(next) == 0 {
			return page, nil
		}
		if filtered && queries == maxQueries {
			created, id, err := fromWhen(dataOf(next[at]))
			page.Next = q.Next(store.Item{CreatedAt: created, ID: id})
			return page, s.fault(ctx, err)
		}
		in.ExclusiveStartKey = next
	}
}

// listing is the query of a list, newest first. It begins at the cursor, not after it: a key condition has no exclusive
// "between".
func listing(q store.Query, start *store.Position) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{ScanIndexForward: aws.Bool(false), ExpressionAttributeNames: map[string]string{"#at": at}}
	m := q.Match.Folded()
	index, partition := listIndex, join(q.Type)
	filters := row{}
	for _, label := range []struct{ index, value string }{
		{kindIndex, m.Type}, {countryIndex, m.Country}, {cityIndex, m.City}, {machineIndex, m.MachineID}, // the last wins
	} {
		if label.value == "" {
			continue
		}
		if index != listIndex {
			filters[":"+index] = text(partition)
		}
		index, partition = label.index, join(q.Type, label.value)
	}
	since := milli(-1 << 63)
	if ms, bounded := q.SinceMilli(); bounded {
		since = milli(ms)
	}
	in.IndexName = &index
	in.ExpressionAttributeNames["#p"] = index
	in.ExpressionAttributeValues = row{":p": text(partition), ":since": data(since)}
	condition := "#p = :p AND #at >= :since"
	if start != nil {
		until := when(start.CreatedAt, start.ID)
		if string(until) < string(since) {
			until = since // DynamoDB refuses an empty range
		}
		condition = "#p = :p AND #at BETWEEN :since AND :until"
		in.ExpressionAttributeValues[":until"] = data(until)
	}
	in.KeyConditionExpression = &condition
	var filter []string
	for name, value := range filters {
		filter = append(filter, "#"+name[1:]+" = "+name)
		in.ExpressionAttributeNames["#"+name[1:]] = name[1:]
		in.ExpressionAttributeValues[name] = value
	}
	if filter != nil {
		in.FilterExpression = aws.String(strings.Join(filter, " AND "))
	}
	return in
}
