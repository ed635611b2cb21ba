package dynamodb

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The attributes of keys. Every index has its own partition key, named as the index is, and is sparse: a row without that attribute is
// not in it. They share the sort key "at".
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

// Description is the table, as data: what [CreateTable] creates, and what a template of infrastructure must say too.
//
// One table. G is a generation of the model; keys.go spells the keys; folded texts are those of store.Fold.
//
//	row            pk              sk                     in the indexes
//	an item        G/item/TYPE/ID  -                      list, and of city, country, machine, kind those whose label it has
//	a counter      G/demand        COUNTRY CITY DRINK     place
//	a type         G/types         TYPE                   none; which lists a generation has, for its deletion
//	the pointer    generations     -                      none
//	a claim        claim/ID        -                      none
//
//	index                         partition key   sort key        projects
//	list                          G/TYPE          time ID         all
//	city, country, machine, kind  G/TYPE/FOLDED   time ID         all
//	place                         G/CITY          COUNTRY DRINK   keys, so that counting costs it nothing
//
//	access                             request                               read units (eventually consistent: half)
//	Get                                GetItem, consistent                   1 for each 4 KB
//	List, no label                     Query list                            0.5 for each 4 KB of the page
//	List, one label                    Query its index                       the same
//	List, several labels               Query the narrowest, filtered         of all that it looks at, 12 MB at most
//	Demand, all or of a country        Query the counters, consistent        1 for each 4 KB, about 25 rows
//	Demand of a city                   Query place, then BatchGetItem        1 a row
//	each of these, beside it           GetItem of the pointer, consistent    1, at the same time, shared by concurrent ones
//	Put                                TransactWriteItems, then the pointer  2 write units a KB of item, 2 a counter, 1 a KB and index
//	Claim, Complete, Release           one conditional write                 1 write unit
//	deletion of a generation           Query types, list and counters; BatchWriteItem
//
// A partition takes 1000 write units a second, and so does a counter: two transactions a unit, 500 a second
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html). Counters of one
// generation share a partition key; DynamoDB divides such a collection by its sort key when it is hot, which it could not if the table had
// a local secondary index
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html). The list of a type grows at one
// end and cannot be divided: it takes 1000 items of up to 1 KB a second, and throttles the writes of the table beyond
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/gsi-throttling.html). Shards would make every page as many
// queries; they are not worth it before a rebuild at that rate is too slow.
//
// Everything can be rebuilt from the topics but the claims, which keep mails from being sent twice: point-in-time recovery is for
// them, and nothing may expire by a time to live.
func Description(table string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:   &table,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keySchema(pk, sk),
		AttributeDefinitions: []types.AttributeDefinition{
			attribute(pk, types.ScalarAttributeTypeS), attribute(sk, types.ScalarAttributeTypeB), attribute(at, types.ScalarAttributeTypeB),
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

func keySchema(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(partition), KeyType: types.KeyTypeHash}, {AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
	}
}

func attribute(name string, t types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: t}
}
