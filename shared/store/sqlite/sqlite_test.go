package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, clock func() time.Time) func() store.Store {
		path := filepath.Join(t.TempDir(), "model.db")
		return func() store.Store { return open(t, path, WithClock(clock)) }
	})
}

func open(t testing.TB, path string, opts ...Option) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
