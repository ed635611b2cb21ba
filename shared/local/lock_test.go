package local

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSecondProcessIsRefusedUntilTheFirstDies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, kill := startChild(t, dir, "127.0.0.1:0")

	_, err := Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0"})
	require.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, dir)

	kill()
	start(t, Options{Dir: dir})
}

func TestSecondBrokerInOneProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, Options{Dir: dir})
	_, err := Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0"})
	require.ErrorIs(t, err, ErrLocked)
}
