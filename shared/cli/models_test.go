package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestModelsAreListedInAFolderOfAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's [1")
	require.NoError(t, os.Mkdir(dir, 0o700))
	a := &app{model: readModel(dir)}
	other, err := sqlite.Open(t.Context(), filepath.Join(dir, "other.db"))
	require.NoError(t, err)
	require.NoError(t, other.Close())
	a.store, err = sqlite.Open(t.Context(), a.model)
	require.NoError(t, err)
	defer a.store.Close()
	all, err := a.models(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, all.Models, 2)
	assert.Equal(t, filepath.Join(dir, "other.db"), all.Models[1].Name)
	quoted := "'" + strings.Replace(dir, "it's", `it'\''s`, 1)
	assert.Equal(t, "sipeat rebuild --store "+quoted+"/read-model-2.db'", all.Start)
	assert.Equal(t, "sipeat rebuild --once --store "+quoted+"/other.db' --compare "+quoted+"/read-model.db'", all.Models[1].Compare)
	assert.Contains(t, all.Models[1].Switch, "To switch, set STORE="+quoted+"/other.db' and ")
	a.served = dir
	all, err = a.models(t.Context(), "")
	require.NoError(t, err)
	assert.Contains(t, all.Start, "sipeat rebuild --data "+quoted+"' ")
}
