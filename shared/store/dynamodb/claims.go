package dynamodb

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/store"
)

// Claim implements [store.Claims], in one conditional write. Each call signs the row, so that one whose answer was lost on the way
// knows its own claim when it tries again.
func (s *Store) Claim(ctx context.Context, id string, lease time.Duration) (store.Claim, time.Duration, error) {
	if err := store.CheckClaim(id, lease); err != nil {
		return store.Held, 0, err
	}
	now, mine := s.clock(), uuid.NewString()
	in := &dynamodb.PutItemInput{
		TableName: &s.table,
		Item: key{
			pk: text(claimKey(id)), sk: data(alone), "owner": text(s.owner), "call": text(mine), "done": &types.AttributeValueMemberBOOL{},
			"until": number(now.Add(lease + time.Millisecond - 1).UnixMilli()),
		},
		ConditionExpression:      aws.String("attribute_not_exists(pk) OR (done = :no AND (#until <= :now OR #until > :last))"),
		ExpressionAttributeNames: map[string]string{"#until": "until"},
		ExpressionAttributeValues: key{":no": &types.AttributeValueMemberBOOL{}, ":now": number(now.UnixMilli()),
			":last": number(store.LastHonest(now, lease).UnixMilli())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	err := s.call(ctx, func(ctx context.Context) error { _, err := s.client.PutItem(ctx, in); return err })
	var taken *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return store.Claimed, 0, nil
	case !errors.As(err, &taken):
		return store.Held, 0, err
	case boolOf(taken.Item["done"]):
		return store.Done, 0, nil
	case textOf(taken.Item["call"]) == mine:
		return store.Claimed, 0, nil
	}
	return store.Held, max(time.UnixMilli(numberOf(taken.Item["until"])).Sub(s.clock()), time.Millisecond), nil
}

// Complete implements [store.Claims].
func (s *Store) Complete(ctx context.Context, id string) error {
	if err := store.CheckClaim(id, time.Millisecond); err != nil {
		return err
	}
	return s.call(ctx, func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: key{
			pk: text(claimKey(id)), sk: data(alone), "owner": text(s.owner), "done": &types.AttributeValueMemberBOOL{Value: true},
		}})
		return err
	})
}

// Release implements [store.Claims].
func (s *Store) Release(ctx context.Context, id string) error {
	if err := store.CheckClaim(id, time.Millisecond); err != nil {
		return err
	}
	err := s.call(ctx, func(ctx context.Context) error {
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &s.table, Key: keyOf(claimKey(id), alone),
			ConditionExpression:       aws.String("#owner = :me AND done = :no"),
			ExpressionAttributeNames:  map[string]string{"#owner": "owner"},
			ExpressionAttributeValues: key{":me": text(s.owner), ":no": &types.AttributeValueMemberBOOL{}},
		})
		return err
	})
	if other := (*types.ConditionalCheckFailedException)(nil); errors.As(err, &other) {
		return nil
	}
	return err
}
