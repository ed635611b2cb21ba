package dynamodb

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// Advance implements [store.Marker]. It is one write as long as no other process moves marks of the same topic.
func (s *Store) Advance(ctx context.Context, topic string, from, to map[int32]int64) error {
	s.mu.Lock()
	known := s.marks[topic]
	s.mu.Unlock()
	for {
		marks := marksOf(known)
		changed := store.Advanced(marks, from, to)
		if len(changed) == 0 {
			return nil
		}
		maps.Copy(marks, changed)
		next, _ := json.Marshal(marks) // numbers have no errors
		in := &dynamodb.UpdateItemInput{
			TableName: &s.name, Key: keyOf(marksKey, []byte(topic)), UpdateExpression: aws.String("SET marks = :next"),
			ConditionExpression: aws.String("attribute_not_exists(marks)"), ExpressionAttributeValues: row{":next": text(string(next))},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
		if known != "" {
			in.ConditionExpression, in.ExpressionAttributeValues[":known"] = aws.String("marks = :known"), text(known)
		}
		_, err := call(ctx, s.table, s.client.UpdateItem, in)
		if found, moved := existing(err); moved {
			known = textOf(found["marks"])
			continue
		}
		if err == nil {
			s.mu.Lock()
			s.marks[topic] = string(next)
			s.mu.Unlock()
		}
		return err
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
		found[string(dataOf(r[sk]))] = marksOf(textOf(r["marks"]))
	}
	return found, err
}

// marksOf are the marks of a topic's partitions, which a row has as JSON; none if it is not.
func marksOf(text string) map[int32]store.Mark {
	found := map[int32]store.Mark{}
	_ = json.Unmarshal([]byte(text), &found)
	return found
}
