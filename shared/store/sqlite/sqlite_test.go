package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func openClaims(t testing.TB, path string, clock func() time.Time) *Claims {
	t.Helper()
	c, err := OpenClaims(t.Context(), path, clock)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClaimsThatAreTooOldAreDeletedOnOpening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "claims.db")
	began := time.Now()
	require.NoError(t, openClaims(t, path, func() time.Time { return began }).Complete(t.Context(), "mail", "smtp"))
	for _, c := range []struct {
		age  time.Duration
		want store.Claim
	}{{store.ClaimsKept, store.Done}, {store.ClaimsKept + time.Second, store.Claimed}} {
		later := openClaims(t, path, func() time.Time { return began.Add(c.age) })
		claim, _, err := later.Claim(t.Context(), "mail", "smtp", time.Second)
		require.NoError(t, err)
		assert.Equal(t, c.want, claim)
	}
}
