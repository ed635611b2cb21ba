package cli

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
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

func TestATableMayBeBuiltBesideAFileInUse(t *testing.T) {
	var out bytes.Buffer
	r := rebuild{app: &app{stdout: &out, settings: settings.Settings{Store: "model.db", Table: "sipeat"}}, table: "sipeat"}
	require.NoError(t, r.check())
	require.NoError(t, r.finish(t.Context(), nil))
	assert.Regexp(t, `set STORE=dynamodb and TABLE_NAME=sipeat .* To go back, set STORE=model.db\.`, out.String())
	r.settings.Store = settings.DynamoDB
	require.ErrorContains(t, r.check(), "in use")
}

func TestProgressLogsRateAndTimeLeft(t *testing.T) {
	var log bytes.Buffer
	p := (&app{logger: slog.New(slog.NewTextHandler(&log, nil))}).newProgress()
	p.began, p.logging = time.Now().Add(-10*time.Second), rate.Sometimes{Every: 1}
	p.add("contact-created", 1000, 4000)
	assert.Regexp(t, `handled=1000 of=4000 per_second=(99|100) left=30s`, log.String())
}
