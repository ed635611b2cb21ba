package dynamodb

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
	err = s.living(ctx, func(generation int) error {
		var start *store.DemandKey
		if more {
			start = &from
		}
		if store.Fold(q.City) != "" && store.Fold(q.Country) == "" {
			page, err = s.demandOfCity(ctx, generation, q, start)
		} else {
			page, err = s.demand(ctx, generation, q, start)
		}
		return err
	})
	if err != nil {
		return store.DemandPage{}, err
	}
	return page, nil
}

// demand reads the counters, which are in the order of the answer.
func (s *Store) demand(ctx context.Context, generation int, q store.DemandQuery, start *store.DemandKey) (page store.DemandPage, err error) {
	var first []byte
	if country := store.Fold(q.Country); country != "" {
		first = ordered(country)
		if city := store.Fold(q.City); city != "" {
			first = ordered(country, city)
		}
	}
	from := append([]byte{0}, first...)[1:]
	if start != nil {
		from = counterKey(*start)
	}
	rows, more, err := s.counters(ctx, counting(s.table, "", demandKey(generation), from, beyond(first)), q.Limit)
	for _, v := range rows {
		page.Items = append(page.Items, fromCounter(v))
	}
	if err == nil && more {
		page.Next, err = s.nextDemand(q, rows[len(rows)-1])
	}
	return page, s.fault(ctx, err)
}

// demandOfCity reads the counters' keys by the index of their places, and then the counters.
func (s *Store) demandOfCity(ctx context.Context, generation int, q store.DemandQuery, start *store.DemandKey) (page store.DemandPage, err error) {
	from := []byte{0}
	if start != nil {
		from = ordered(start.Country, start.Drink)
	}
	found, more, err := s.counters(ctx, counting(s.table, placeIndex, join(generation, store.Fold(q.City)), from, beyond(nil)), q.Limit)
	if err != nil || len(found) == 0 {
		return store.DemandPage{}, err
	}
	rows, err := s.rows(ctx, found)
	if err != nil {
		return store.DemandPage{}, err
	}
	for _, k := range found {
		if v, ok := rows[string(dataOf(k[sk]))]; ok {
			page.Items = append(page.Items, fromCounter(v))
		}
	}
	if more {
		page.Next, err = s.nextDemand(q, found[len(found)-1])
	}
	return page, s.fault(ctx, err)
}

func (s *Store) nextDemand(q store.DemandQuery, last key) (string, error) {
	k, err := fromCounterKey(dataOf(last[sk]))
	return q.Next(k), err
}

// counting is the query of counters between two sort keys.
func counting(table, index, partition string, from, to []byte) *dynamodb.QueryInput {
	p, sort := pk, sk
	in := &dynamodb.QueryInput{TableName: &table}
	if index == "" {
		in.ConsistentRead = aws.Bool(true)
	} else {
		p, sort = index, at
		in.IndexName = &index
	}
	if len(from) == 0 {
		from = []byte{0}
	}
	in.KeyConditionExpression = aws.String("#p = :p AND #s BETWEEN :from AND :to")
	in.ExpressionAttributeNames = map[string]string{"#p": p, "#s": sort}
	in.ExpressionAttributeValues = key{":p": text(partition), ":from": data(from), ":to": data(to)}
	return in
}

// counters reads at most limit rows, and tells whether there are more. A row at the lower end itself was on the page before.
func (s *Store) counters(ctx context.Context, in *dynamodb.QueryInput, limit int) (rows []key, more bool, err error) {
	from := dataOf(in.ExpressionAttributeValues[":from"])
	sort := in.ExpressionAttributeNames["#s"]
	for {
		in.Limit = aws.Int32(int32(limit + 2 - len(rows)))
		var out *dynamodb.QueryOutput
		if err := s.call(ctx, func(ctx context.Context) (err error) { out, err = s.client.Query(ctx, in); return err }); err != nil {
			return nil, false, err
		}
		for _, v := range out.Items {
			if string(dataOf(v[sort])) == string(from) {
				continue
			}
			if len(rows) == limit {
				return rows, true, nil
			}
			rows = append(rows, v)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return rows, false, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// rows reads rows by their keys, by sort key. It takes at most 100, which is the limit of a page.
func (s *Store) rows(ctx context.Context, keys []key) (map[string]key, error) {
	ask := types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}
	for _, k := range keys {
		ask.Keys = append(ask.Keys, key{pk: k[pk], sk: k[sk]})
	}
	rows := make(map[string]key, len(keys))
	for start, try := time.Now(), 0; len(ask.Keys) > 0; try++ {
		if try > 0 { // DynamoDB was throttled on the way
			if time.Since(start) > patience {
				return nil, s.fault(ctx, &types.ProvisionedThroughputExceededException{})
			}
			if err := sleep(ctx, backoff(try)); err != nil {
				return nil, ended(err)
			}
		}
		var out *dynamodb.BatchGetItemOutput
		if err := s.call(ctx, func(ctx context.Context) (err error) {
			out, err = s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{s.table: ask}})
			return err
		}); err != nil {
			return nil, err
		}
		for _, v := range out.Responses[s.table] {
			rows[string(dataOf(v[sk]))] = v
		}
		ask.Keys = out.UnprocessedKeys[s.table].Keys
	}
	return rows, nil
}

func fromCounter(v key) store.Demand {
	return store.Demand{Country: textOf(v["shownCountry"]), City: textOf(v["shownCity"]), Drink: textOf(v["shownDrink"]), Count: numberOf(v["asked"])}
}
