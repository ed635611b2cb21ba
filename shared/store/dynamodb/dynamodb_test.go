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
	storetest.Run(t, func(t *testing.T) func() store.Store {
		cfg, name := newTable(t)
		return func() store.Store { return open(t, cfg, name) }
	})
}

func TestClaimsContract(t *testing.T) {
	t.Parallel()
	local(t)
	storetest.RunClaims(t, func(t *testing.T, clock func() time.Time) func() store.Claims {
		cfg, name := local(t), newName(t)
		openClaims := func() *Claims {
			c, err := OpenClaims(cfg, name, clock)
			require.NoError(t, err)
			return c
		}
		c := openClaims()
		defer c.Close()
		require.NoError(t, c.Create(t.Context()))
		require.NoError(t, c.Create(t.Context()), "once more")
		require.NoError(t, c.Check(t.Context()))
		return func() store.Claims { return openClaims() }
	})
}

// local returns the config of the DynamoDB for tests; without one they are skipped.
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

// newName returns the name of a table for this test only, which is deleted at its end.
func newName(t testing.TB) string {
	cfg := local(t)
	name := fmt.Sprintf("test-%d-%d-%d", os.Getpid(), time.Now().UnixMilli(), tables.Add(1))
	t.Cleanup(func() {
		_, err := open(t, cfg, name).client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name})
		_ = err // its memory is all that is lost
	})
	return name
}

// newTable creates a read model for this test only.
func newTable(t testing.TB) (aws.Config, string) {
	t.Helper()
	cfg, name := local(t), newName(t)
	s := open(t, cfg, name)
	require.NoError(t, s.Create(t.Context()))
	require.NoError(t, s.Close())
	return cfg, name
}

func open(t testing.TB, cfg aws.Config, name string) *Store {
	t.Helper()
	s, err := Open(cfg, name)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
