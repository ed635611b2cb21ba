package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFolderOfTheDefaultStoreIsPrivate(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := (&app{}).openStore(t.Context(), settings.DefaultStore)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	folder, err := os.Stat(filepath.Dir(settings.DefaultStore))
	require.NoError(t, err)
	assert.Zero(t, folder.Mode().Perm()&0o077)
}
