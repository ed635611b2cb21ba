package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sipeat/sipeat/shared/store"
)

// Demand implements [store.Reader].
func (s *Store) Demand(ctx context.Context, q store.DemandQuery) (page store.DemandPage, err error) {
	if err := q.Check(); err != nil {
		return store.DemandPage{}, err
	}
	from, more, err := q.Start()
	if err != nil {
		return store.DemandPage{}, err
	}
	var start *store.DemandKey
	if more {
		start = &from
	}
	country, city := store.Fold(q.Country), store.Fold(q.City)
	var rows []row
	if city != "" && country == "" {
		rows, more, err = s.demandOfCity(ctx, city, q.Limit, start)
	} else {
		rows, more, err = s.demand(ctx, country, city, q.Limit, start)
	}
	if err != nil {
		return store.DemandPage{}, err
	}
	for _, r := range rows {
		page.Items = append(page.Items, store.Demand{
			Country: textOf(r["shownCountry"]), City: textOf(r["shownCity"]), Drink: textOf(r["shownDrink"]), Count: numberOf(r["asked"]),
		})
	}
	if more {
		last, err := fromCounterKey(dataOf(rows[len(rows)-1][sk]))
		if err != nil {
			return store.DemandPage{}, s.fault(ctx, err)
		}
		page.Next = q.Next(last)
	}
	return page, nil
}

// demand reads the counters, which are in the order of the answer.
func (s *Store) demand(ctx context.Context, country, city string, limit int, start *store.DemandKey) (rows []row,
	more bool, err error) {
	var first []byte
	if country != "" {
		first = ordered(country)
		if city != "" {
			first = ordered(country, city)
		}
	}
	from := first
	if start != nil {
		from = counterKey(*start)
	}
	return s.between(ctx, "", demandKey, from, after(first), limit)
}

// demandOfCity reads the keys of the counters from the index of their places, and then the counters.
func (s *Store) demandOfCity(ctx context.Context, city string, limit int, start *store.DemandKey) (rows []row,
	more bool, err error) {
	var from []byte
	if start != nil {
		from = ordered(start.Country, start.Drink)
	}
	found, more, err := s.between(ctx, placeIndex, join(city), from, after(nil), limit)
	if err != nil {
		return nil, false, err
	}
	keys := make([]row, len(found))
	for i, r := range found {
		keys[i] = row{pk: r[pk], sk: r[sk]}
	}
	unordered, err := s.get(ctx, keys)
	bySortKey := map[string]row{}
	for _, r := range unordered {
		bySortKey[string(dataOf(r[sk]))] = r
	}
	for _, k := range keys {
		if r, ok := bySortKey[string(dataOf(k[sk]))]; ok {
			rows = append(rows, r)
		}
	}
	return rows, more && len(rows) > 0, err
}

// between reads at most limit rows of a partition, from one sort key to another, without the first, and reports whether
// there are more.
func (s *Store) between(ctx context.Context, index, partition string, from, to []byte, limit int) (rows []row,
	more bool, err error) {
	if len(from) == 0 {
		from = []byte{0} // DynamoDB refuses an empty key
	}
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("#p = :p AND #s BETWEEN :from AND :to"),
		ExpressionAttributeNames:  map[string]string{"#p": pk, "#s": sk},
		ExpressionAttributeValues: row{":p": text(partition), ":from": data(from), ":to": data(to)},
		ConsistentRead:            aws.Bool(true),
	}
	if index != "" { // which cannot be read consistently
		in.IndexName, in.ConsistentRead = &index, nil
		in.ExpressionAttributeNames = map[string]string{"#p": index, "#s": at}
	}
	sort := in.ExpressionAttributeNames["#s"]
	for {
		in.Limit = aws.Int32(int32(limit + 2 - len(rows)))
		next, err := s.query(ctx, in, func(r row) bool {
			if string(dataOf(r[sort])) == string(from) {
				return true
			}
			if more = len(rows) == limit; !more {
				rows = append(rows, r)
			}
			return !more
		})
		if err != nil || more || len(next) == 0 {
			return rows, more, err
		}
		in.ExclusiveStartKey = next
	}
}
