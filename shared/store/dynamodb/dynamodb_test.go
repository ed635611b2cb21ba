package dynamodb

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	local(t)
	storetest.Run(t, func(t *testing.T, clock func() time.Time) func() store.Store {
		cfg, name := table(t)
		return func() store.Store { return open(t, cfg, name, WithClock(clock)) }
	})
}

// local is the config of the DynamoDB that tests run on; without one they are skipped.
func local(t testing.TB) aws.Config {
	t.Helper()
	if os.Getenv("DYNAMODB_ENDPOINT") == "" {
		t.Skip("set DYNAMODB_ENDPOINT to the address of a DynamoDB Local, such as http://127.0.0.1:18000, as `make up` starts it")
	}
	cfg, err := FromEnvironment(os.Getenv)
	require.NoError(t, err)
	return cfg
}

var tables atomic.Int64

// table creates a table of the test's own.
func table(t testing.TB) (aws.Config, string) {
	t.Helper()
	cfg := local(t)
	name := fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixMilli(), tables.Add(1))
	require.NoError(t, CreateTable(t.Context(), cfg, name))
	t.Cleanup(func() {
		client, _, idle := connect(cfg)
		_, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name})
		_ = err // its memory is all that is lost
		idle()
	})
	return cfg, name
}

func open(t testing.TB, cfg aws.Config, name string, opts ...Option) *Store {
	t.Helper()
	s, err := Open(cfg, name, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
