package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDynamoDBSettingsWithoutStoreAreLogged(t *testing.T) {
	for store, says := range map[string]bool{"": true, settings.DefaultStore: false} {
		t.Chdir(t.TempDir())
		t.Setenv("STORE", store)
		t.Setenv("DYNAMODB_ENDPOINT", "http://127.0.0.1:8000")
		t.Setenv("TABLE_NAME", "")
		var log strings.Builder
		a := &app{logger: slog.New(slog.NewTextHandler(&log, nil))}
		s, err := a.openStore(t.Context(), settings.DefaultStore)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		folder, err := os.Stat(filepath.Dir(settings.DefaultStore))
		require.NoError(t, err)
		assert.Zero(t, folder.Mode().Perm()&0o077, "personal data is readable by this user only")
		assert.Equal(t, says, strings.Contains(log.String(), "DYNAMODB_ENDPOINT has no effect without STORE=dynamodb"), log.String())
		assert.NotContains(t, log.String(), "TABLE_NAME")
	}
}
