package dynamodb

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// grace is how long the rows of a generation stay after it was left: whoever began to read or write by the old pointer has ended by then
// (fresh + attempt + patience, and the clocks of several machines), and the indexes have followed.
const grace = time.Minute

// sweeps deletes the rows of generations that were left. Which those are, the pointer row remembers until it is done, so that any handle may
// begin, end or go on.
type sweeps struct {
	store *Store
	grace time.Duration
	off   bool

	mu      sync.Mutex
	running bool
	after   time.Time // do not begin before
}

// wake begins to sweep in the background, unless that is under way or has just failed.
func (w *sweeps) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off || w.running || time.Now().Before(w.after) {
		return
	}
	w.running = w.store.start(func() {
		err := w.store.Sweep(w.store.ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = false
		if err != nil { // a missing right, say: what is left waits
			w.after = time.Now().Add(time.Minute)
		}
	})
}

// Sweep deletes the rows of generations that were left, and returns when none are left. It waits until a minute after
// they were. It may be ended at any time, and called by several at once.
func (s *Store) Sweep(ctx context.Context) error {
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		p, err := s.pointers.latest(ctx)
		if err != nil || len(p.dropping) == 0 {
			return err
		}
		for generation, since := range p.dropping {
			if err := sleep(ctx, time.Until(time.UnixMilli(since).Add(s.sweeps.grace))); err != nil {
				return ended(err)
			}
			if err := s.drop(ctx, generation); err != nil {
				return err
			}
			if err := s.forget(ctx, generation); err != nil {
				return err
			}
		}
	}
}

// drop deletes a generation: the items of each type, then the type, and the counters.
func (s *Store) drop(ctx context.Context, generation int) error {
	var eventTypes []string
	err := s.rowsOf(ctx, "", typesKey(generation), func(rows []key) error {
		for _, r := range rows {
			eventTypes = append(eventTypes, string(dataOf(r[sk])))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range eventTypes {
		if err := s.rowsOf(ctx, listIndex, join(generation, t), func(rows []key) error { return s.remove(ctx, rows) }); err != nil {
			return err
		}
		if err := s.remove(ctx, []key{keyOf(typesKey(generation), []byte(t))}); err != nil {
			return err
		}
	}
	return s.rowsOf(ctx, "", demandKey(generation), func(rows []key) error { return s.remove(ctx, rows) })
}

// rowsOf calls do with the keys of the rows of a partition, some at a time.
func (s *Store) rowsOf(ctx context.Context, index, partition string, do func([]key) error) error {
	in := &dynamodb.QueryInput{
		TableName: &s.table, KeyConditionExpression: aws.String("#p = :p"), ProjectionExpression: aws.String("pk, sk"),
		ExpressionAttributeNames: map[string]string{"#p": pk}, ExpressionAttributeValues: key{":p": text(partition)},
	}
	if index != "" {
		in.IndexName, in.ExpressionAttributeNames["#p"] = &index, index
	}
	for {
		var out *dynamodb.QueryOutput
		if err := s.call(ctx, func(ctx context.Context) (err error) { out, err = s.client.Query(ctx, in); return err }); err != nil {
			return err
		}
		if err := do(out.Items); err != nil {
			return err
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// chunk is DynamoDB's limit of a BatchWriteItem
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html).
const chunk = 25

func (s *Store) remove(ctx context.Context, rows []key) error {
	for len(rows) > 0 {
		n := min(chunk, len(rows))
		var left []types.WriteRequest
		for _, r := range rows[:n] {
			left = append(left, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key{pk: r[pk], sk: r[sk]}}})
		}
		rows = rows[n:]
		for try := 0; len(left) > 0; try++ {
			if try > 0 { // throttled: whoever serves requests goes first
				if err := sleep(ctx, backoff(try+3)); err != nil {
					return ended(err)
				}
			}
			if err := s.call(ctx, func(ctx context.Context) error {
				out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{s.table: left}})
				if err == nil {
					left = out.UnprocessedItems[s.table]
				}
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
