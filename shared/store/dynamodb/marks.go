package dynamodb

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// maxMarks is how many partitions one request changes: an expression has at most 300 operators and 4 KB
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const maxMarks = 25

// Advance implements [store.Marker]. It is one write as long as no other process moves the same partitions.
func (s *Store) Advance(ctx context.Context, topic string, from, to map[int32]int64) error {
	s.mu.Lock()
	known := s.marks[topic]
	s.mu.Unlock()
	for {
		changed := store.Advanced(known, from, to)
		if len(changed) == 0 {
			return nil
		}
		in := &dynamodb.UpdateItemInput{
			TableName: &s.name, Key: keyOf(marksKey, []byte(topic)), ExpressionAttributeValues: row{},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
		var set, unless []string
		next := map[int32]store.Mark{}
		maps.Copy(next, known)
		for partition, m := range changed {
			if len(set) == maxMarks {
				break
			}
			n := strconv.Itoa(int(partition))
			set = append(set, "held"+n+" = :h"+n+", committed"+n+" = :c"+n)
			in.ExpressionAttributeValues[":h"+n], in.ExpressionAttributeValues[":c"+n] = number(m.Held), number(m.Committed)
			if before, exists := known[partition]; exists {
				unless = append(unless, "held"+n+" = :a"+n+" AND committed"+n+" = :b"+n)
				in.ExpressionAttributeValues[":a"+n], in.ExpressionAttributeValues[":b"+n] = number(before.Held), number(before.Committed)
			} else {
				unless = append(unless, "attribute_not_exists(held"+n+")")
			}
			next[partition] = m
		}
		in.UpdateExpression = aws.String("SET " + strings.Join(set, ", "))
		in.ConditionExpression = aws.String(strings.Join(unless, " AND "))
		_, err := call(ctx, s.table, s.client.UpdateItem, in)
		switch found, moved := existing(err); {
		case moved:
			known = marksOf(found)
		case err != nil:
			return err
		default:
			known = next
			s.mu.Lock()
			s.marks[topic] = next
			s.mu.Unlock()
		}
	}
}

// Marks implements [store.Marker].
func (s *Store) Marks(ctx context.Context) (store.Marks, error) {
	rows, _, err := s.query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: row{":p": text(marksKey)},
		ConsistentRead: aws.Bool(true),
	})
	found := store.Marks{}
	for _, r := range rows {
		found[string(dataOf(r[sk]))] = marksOf(r)
	}
	return found, err
}

func marksOf(r row) map[int32]store.Mark {
	found := map[int32]store.Mark{}
	for name, v := range r {
		if n, ok := strings.CutPrefix(name, "held"); ok {
			if partition, err := strconv.ParseInt(n, 10, 32); err == nil {
				found[int32(partition)] = store.Mark{Held: numberOf(v), Committed: numberOf(r["committed"+n])}
			}
		}
	}
	return found
}
