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
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sipeat/sipeat/shared/store"
)

// Store is a read model in one table.
type Store struct {
	*table
	writer writer

	mu    sync.Mutex
	marks store.Marks // that this handle has written last: as marks only grow, what these hold need not be written again
}

var _ store.Store = (*Store)(nil)

// Open opens the read model that is kept in a table. It makes no network call: whether the table exists, and may be used,
// shows at the first call, or [Store.Ping]. A config without an HTTPClient of the caller's own gets one that suits hundreds
// of writers.
func Open(cfg aws.Config, name string) (*Store, error) {
	t, err := openTable(cfg, "the read model", name, "TABLE_NAME")
	if err != nil {
		return nil, err
	}
	return &Store{table: t, marks: store.Marks{}}, nil
}

// Ping implements [store.Store]. The error names what is wrong: table, place, credentials or rights.
func (s *Store) Ping(ctx context.Context) error {
	marks, err := s.Marks(ctx)
	if err != nil {
		return err
	}
	return marks.Check()
}
