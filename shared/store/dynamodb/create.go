package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
)

// askEvery is how often a table that is being made is looked at; DynamoDB Local makes one at once, AWS in some 10 s.
const askEvery = 500 * time.Millisecond

// CreateTable creates the table of [Description] if there is none, and waits until it can be used. A table of that name with another
// key or without an index is an error that says what differs. ctx bounds the wait.
func CreateTable(ctx context.Context, cfg aws.Config, table string) error {
	s, err := Open(cfg, table, WithoutSweeps())
	if err != nil {
		return err
	}
	defer s.Close()
	found, err := s.describe(ctx)
	made := missing(err)
	if made {
		err = s.call(ctx, func(ctx context.Context) error {
			_, err := s.client.CreateTable(ctx, Description(table))
			if inUse := (*types.ResourceInUseException)(nil); errors.As(err, &inUse) {
				return nil // another process was first
			}
			return err
		})
		if err == nil {
			found, err = s.describe(ctx)
		}
	}
	// What was just made may be missing for some seconds still
	// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html).
	for made && missing(err) || err == nil && !active(found) {
		if err := sleep(ctx, askEvery); err != nil {
			return ended(err)
		}
		found, err = s.describe(ctx)
	}
	if err != nil {
		return err
	}
	return s.compare(found)
}

// CheckTable says in what the table differs from [Description]; it needs the right dynamodb:DescribeTable.
func (s *Store) CheckTable(ctx context.Context) error {
	found, err := s.describe(ctx)
	if err != nil {
		return err
	}
	return s.compare(found)
}

func (s *Store) describe(ctx context.Context) (found *types.TableDescription, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
		if err != nil {
			return err
		}
		if found = out.Table; found == nil {
			return &smithy.DeserializationError{Err: errors.New("no table is described")}
		}
		return nil
	})
	return found, err
}

func missing(err error) bool {
	var e *types.ResourceNotFoundException
	return errors.As(err, &e)
}

func active(t *types.TableDescription) bool {
	return t.TableStatus == types.TableStatusActive && !slices.ContainsFunc(t.GlobalSecondaryIndexes, func(i types.GlobalSecondaryIndexDescription) bool {
		return i.IndexStatus == types.IndexStatusCreating
	})
}

func (s *Store) compare(found *types.TableDescription) error {
	want := Description(s.table)
	var wrong []string
	if got, want := shape(found.KeySchema, found.AttributeDefinitions), shape(want.KeySchema, want.AttributeDefinitions); got != want {
		wrong = append(wrong, fmt.Sprintf("its key is %s, not %s", got, want))
	}
	for _, index := range want.GlobalSecondaryIndexes {
		n := slices.IndexFunc(found.GlobalSecondaryIndexes, func(i types.GlobalSecondaryIndexDescription) bool {
			return aws.ToString(i.IndexName) == *index.IndexName
		})
		if n < 0 {
			wrong = append(wrong, "the index "+*index.IndexName+" is missing")
			continue
		}
		has := found.GlobalSecondaryIndexes[n]
		want := shape(index.KeySchema, want.AttributeDefinitions) + " " + string(index.Projection.ProjectionType)
		got := shape(has.KeySchema, found.AttributeDefinitions) + " "
		if has.Projection != nil {
			got += string(has.Projection.ProjectionType)
		}
		if got != want {
			wrong = append(wrong, fmt.Sprintf("the index %s is %s, not %s", *index.IndexName, got, want))
		}
	}
	if wrong == nil {
		return nil
	}
	return events.Errorf(events.Unavailable, "the table %q %s is not a read model of this version: %s; set TABLE_NAME to one that is, or to a new name: a new table lacks what consumer groups have read already",
		s.table, s.place, strings.Join(wrong, "; "))
}

// shape is a key in words, such as "pk S, sk B".
func shape(key []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	parts := make([]string, 0, len(key))
	for _, k := range key {
		part := aws.ToString(k.AttributeName)
		for _, a := range attributes {
			if aws.ToString(a.AttributeName) == part {
				part += " " + string(a.AttributeType)
				break
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
