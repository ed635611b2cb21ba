// Package dynamodb keeps the read model in one DynamoDB table and the delivery claims in another: for AWS, and for servers with
// anything that speaks its API.
//
// Guarantees beyond the contract in package store:
//
//   - An item and the demand that it adds are one transaction; concurrent Puts of a handle share transactions.
//   - No request scans. [Description] lists the cost of each.
//   - [Open] makes no network call, and links no AWS config package: region and keys come from the caller or [FromEnvironment].
//
// Caveats: Get and demand (by country or all) are strongly consistent; lists, and demand of a city in every country, follow
// within moments (global secondary indexes). A list with a combination of labels that next to nothing passes may come in
// short pages (see [Store.List]). Items of one type are listed in one partition of an index, which takes about 1000 of up
// to 1 KB a second.
package dynamodb

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Store is a read model in one table.
type Store struct {
	*table
	writer writer
	marks  sync.Map // JSON by topic, as this handle has written it last: as marks only grow, older ones need no write
}

// Open opens the read model that is kept in a table. It makes no network call: whether the table exists, and may be used,
// shows at the first call, or [Store.Ping]. A config without an HTTPClient of the caller's own gets one that suits hundreds
// of writers.
func Open(cfg aws.Config, name string) (*Store, error) {
	t, err := openTable(cfg, "the read model", Description(name), "TABLE_NAME")
	if err != nil {
		return nil, err
	}
	return &Store{table: t, writer: writer{hot: map[store.DemandKey]byte{}}}, nil
}

// Ping implements [store.Store]. The error names what is wrong: table, place, credentials or rights.
func (s *Store) Ping(ctx context.Context) error {
	marks, err := s.Marks(ctx)
	return cmp.Or(err, marks.Check())
}

// Advance implements [store.Marker]. It is one write as long as no other process moves marks of the same topic.
func (s *Store) Advance(ctx context.Context, topic string, from, to map[int32]int64) error {
	written, _ := s.marks.Load(topic)
	known, _ := written.(string)
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
			s.marks.Store(topic, string(next))
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

// FromEnvironment makes the config from what Lambda sets in a function's environment and DynamoDB Local needs: AWS_REGION,
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, and DYNAMODB_ENDPOINT for a server that is not AWS's, with
// which the others may be absent. It replaces the AWS config package, which is over half of a cold start; servers, which
// have profiles and roles to look up, give [Open] a config of that package.
func FromEnvironment(getenv func(string) string) (aws.Config, error) {
	cfg, key, secret := aws.Config{Region: getenv("AWS_REGION")}, getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY")
	if endpoint := getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
			return aws.Config{}, events.Errorf(events.Unavailable, "DYNAMODB_ENDPOINT must be an address such as http://127.0.0.1:8000")
		}
		cfg.BaseEndpoint, cfg.Region = &endpoint, cmp.Or(cfg.Region, "us-east-1")
		if key == "" && secret == "" {
			key, secret = "local", "local" // DynamoDB Local requires some
		}
	}
	if cfg.Region == "" || key == "" || secret == "" {
		return aws.Config{}, events.Errorf(events.Unavailable, "DynamoDB needs AWS_REGION, AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY in the environment, or DYNAMODB_ENDPOINT=http://127.0.0.1:8000 for a local one")
	}
	cfg.Credentials = credentials.NewStaticCredentialsProvider(key, secret, getenv("AWS_SESSION_TOKEN"))
	return cfg, nil
}
