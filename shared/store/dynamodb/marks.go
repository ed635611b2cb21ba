package dynamodb

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// marks are those that this handle has read or written last, by topic. As the marks of a model only grow, what they show to
// be noted is.
type marks struct {
	mu    sync.Mutex
	known store.Marks
}

func (m *marks) of(topic string) map[int32]store.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.known[topic])
}

func (m *marks) set(topic string, to map[int32]store.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = store.Marks{}
	}
	m.known[topic] = to
}

// maxMarks is how many partitions one request changes: an expression has at most 300 operators and 4 KB
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const maxMarks = 25

// Advance implements [store.Marker]. It is one write as long as no other process moves the same partitions.
func (s *Store) Advance(ctx context.Context, topic string, from, to map[int32]int64) error {
	known := s.marks.of(topic)
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
		next := maps.Clone(known)
		if next == nil {
			next = map[int32]store.Mark{}
		}
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
		err := s.call(ctx, func(ctx context.Context) error { _, err := s.client.UpdateItem(ctx, in); return err })
		switch found, moved := existing(err); {
		case moved:
			known = marksOf(found)
		case err != nil:
			return err
		default:
			known = next
			s.marks.set(topic, next)
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
