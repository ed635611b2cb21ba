package kafka

import (
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
)

// FirstMessage returns the first message of a login.
func FirstMessage(t *testing.T, cluster settings.Kafka) []byte {
	t.Helper()
	m, err := mechanism(cluster)
	require.NoError(t, err)
	_, message, err := m.Authenticate(t.Context(), "127.0.0.1:9098")
	require.NoError(t, err)
	return message
}
