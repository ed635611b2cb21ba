package sqlite

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// While all connections are in use, a query that is not prepared yet waits, without the lock of the statements.
func TestAQueryEndsWithItsContextWhileOthersWait(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "model.db"))
	_, err := s.Get(t.Context(), "x", "y")
	require.Equal(t, events.NotFound, events.KindOf(err))
	for range s.readers.db.Stats().MaxOpenConnections {
		conn, err := s.readers.db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
	}
	patient, enough := context.WithCancel(t.Context())
	defer enough()
	go func() { _, _ = s.List(patient, store.Query{Type: "x", Limit: 1}) }()
	for s.readers.db.Stats().WaitCount == 0 {
		runtime.Gosched()
	}
	hasty, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Get(hasty, "x", "y")
		ended <- err
	}()
	select {
	case err := <-ended:
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	case <-time.After(10 * time.Second):
		t.Error("the query outlasts its context")
	}
}
