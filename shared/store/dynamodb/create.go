package dynamodb

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
)

// The attributes of keys. Every index has its own partition key, named like the index, and is sparse: a row without that
// attribute is not in it. They share the sort key "at".
const (
	pk = "pk" // S
	sk = "sk" // B
	at = "at" // B

	listIndex    = "list"
	cityIndex    = "city"
	countryIndex = "country"
	machineIndex = "machine"
	kindIndex    = "kind"
	placeIndex   = "place"
)

// Description is the table of a read model, as data: what [CreateTable] creates, and what a template of infrastructure must
// say too.
//
// row.go spells the keys; folded texts are those of store.Fold.
//
//	row               pk              sk                  in the indexes
//	an item           1/item/TYPE/ID  -                   list, and those of its labels: city, country, machine, kind
//	a counter         1/demand        COUNTRY CITY DRINK  place; a drink in high demand has up to 16, see [Store.Put]
//	a topic's marks   1/marks         TOPIC               none
//
//	index                         partition key   sort key        projects
//	list                          1/TYPE          time ID         all
//	city, country, machine, kind  1/TYPE/FOLDED   time ID         all
//	place                         1/CITY          COUNTRY DRINK   keys: counting costs it nothing after the first time
//
//	access                       request                          units
//	Get                          GetItem, consistent              1 for each 4 KB
//	List, at most one label      Query the index                  0.5 for each 4 KB of the page
//	List, several labels         Query the most selective index   0.5 for each 4 KB of all that it looks at, 12 MB at most
//	Demand, all or of a country  Query the counters, consistent   1 for each 4 KB, about 25 rows
//	Demand of a city             Query place, then BatchGetItem   1 a row
//	Put without drinks           PutItem                          1 write unit a KB of item, 1 a KB and index
//	Put with drinks              TransactWriteItems               2 write units a KB of item, 2 a counter, 1 a KB and index
//	Advance                      UpdateItem                       1 write unit, 25 partitions
//
// A partition takes 1000 write units a second, and so does the row of a counter: two units a transaction, 500 a second
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html). Counters share a
// partition key; DynamoDB divides such a collection by its sort key when it is hot, which it could not if the table had a
// local secondary index (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html).
// The list of a type grows at one end and cannot be divided: it takes 1000 items of up to 1 KB a second, and throttles the
// writes of the table beyond (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/gsi-throttling.html).
func Description(table string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:   &table,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keySchema(pk, sk),
		AttributeDefinitions: []types.AttributeDefinition{
			attribute(pk, types.ScalarAttributeTypeS), attribute(sk, types.ScalarAttributeTypeB),
			attribute(at, types.ScalarAttributeTypeB),
		},
	}
	for _, name := range []string{listIndex, cityIndex, countryIndex, machineIndex, kindIndex, placeIndex} {
		projection := types.ProjectionTypeAll
		if name == placeIndex {
			projection = types.ProjectionTypeKeysOnly
		}
		in.AttributeDefinitions = append(in.AttributeDefinitions, attribute(name, types.ScalarAttributeTypeS))
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: &name, KeySchema: keySchema(name, at), Projection: &types.Projection{ProjectionType: projection},
		})
	}
	return in
}

// Expires is the attribute of claims by which DynamoDB deletes them (its time to live), in seconds of Unix time.
const Expires = "expires"

// ClaimsDescription is the table of the delivery claims. A row is an id, with a map for each channel. Each call is one
// request: Claim, Complete, Fail and Release UpdateItem (1 write unit), Deliveries BatchGetItem (1 read unit an id).
func ClaimsDescription(table string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            &table,
		BillingMode:          types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{attribute("id", types.ScalarAttributeTypeS)},
	}
}

func keySchema(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &partition, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

func attribute(name string, t types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: t}
}

// createTimeout is how long a table may take to become active; AWS takes some 10 s.
const createTimeout = 5 * time.Minute

// Create creates the table if it does not exist, and waits until it can be used. ctx bounds the wait. It does not enable the
// time to live of claims.
func (t *table) Create(ctx context.Context) error {
	_, err := call(ctx, t, t.client.CreateTable, t.description)
	if exists := (*types.ResourceInUseException)(nil); err != nil && !errors.As(err, &exists) {
		return err
	}
	waiter := dynamodb.NewTableExistsWaiter(t.client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = time.Second / 2 })
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &t.name}, createTimeout); err != nil {
		return t.fault(ctx, err)
	}
	return t.Check(ctx)
}

// Check fails if the table does not exist or has another key; it needs the right dynamodb:DescribeTable.
func (t *table) Check(ctx context.Context) error {
	out, err := call(ctx, t, t.client.DescribeTable, &dynamodb.DescribeTableInput{TableName: &t.name})
	if err != nil {
		return err
	}
	same := func(a, b types.KeySchemaElement) bool { return aws.ToString(a.AttributeName) == *b.AttributeName }
	if out.Table == nil || !slices.EqualFunc(out.Table.KeySchema, t.description.KeySchema, same) {
		return events.Errorf(events.Unavailable, "%s cannot be in the table %q %s, which has another key: give another name",
			t.what, t.name, t.place)
	}
	return nil
}
