package cli

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGroupsAreJudged(t *testing.T) {
	now, worker := time.Now(), []kafka.Owner{{}}
	for name, c := range map[string]struct {
		group        kafka.GroupState
		status, says string
	}{
		"well":       {kafka.GroupState{State: "Stable", Owners: worker, Partitions: 6, Topic: "t"}, well, "0 events to handle on t"},
		"no members": {kafka.GroupState{State: "Empty", Partitions: 6}, wrong, "0 members"},
		"rebalance":  {kafka.GroupState{State: "PreparingRebalance", Owners: worker, Partitions: 6}, noted, "1 member"},
		"behind": {kafka.GroupState{State: "Stable", Owners: worker, Partitions: 6, Lag: 1, Oldest: now.Add(-time.Minute)},
			noted, "the oldest 1m0s old"},
	} {
		d := &doctor{app: &app{stdout: io.Discard}}
		d.addGroup(c.group, now)
		assert.Equal(t, c.status, d.findings[0].Status, name)
		assert.Contains(t, d.findings[0].Says, c.says, name)
	}
}

func TestDoctorCountsDeadLettersAsFarAsItRead(t *testing.T) {
	for _, complete := range []bool{true, false} {
		d := &doctor{app: &app{stdout: io.Discard}}
		d.addDeadLetters([]deadletters.Group{{Topic: "t", Consumer: "c", Class: "refused", Count: 7}}, complete)
		says := d.findings[len(d.findings)-1].Says
		assert.Equal(t, complete, strings.HasPrefix(says, "7 events rejected by c as refused"), says)
		assert.Equal(t, !complete, strings.HasPrefix(says, "at least 7 events"), says)
		assert.Zero(t, d.failed)
		d.addDeadLetters([]deadletters.Group{{Consumer: "$(reboot)", Class: "refused"}}, true)
		assert.Contains(t, d.findings[len(d.findings)-1].Remedy, "--consumer '$(reboot)' --class", "a record may name any consumer")
	}
}

func TestDoctorReadsTheIssuersKeys(t *testing.T) {
	issuer := httptest.NewServer(nil)
	defer issuer.Close()
	issuer.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer.URL, issuer.URL+"/keys")
		case "/keys":
			fmt.Fprint(w, `{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"a","e":"AQAB","n":"`+strings.Repeat("u", 342)+`"}]}`)
		default:
			http.NotFound(w, r)
		}
	})
	d := &doctor{app: &app{stdout: io.Discard, logger: slog.New(slog.DiscardHandler)}}
	d.settings.Web.Auth = settings.Auth{Mode: "jwt",
		JWT: settings.JWT{Issuer: issuer.URL, Audience: []string{"api"}, Scope: []string{"staff"}}}
	require.NoError(t, d.checkIssuer(t.Context()))
	d.settings.Web.Auth.JWT.Issuer += "/another"
	require.NoError(t, d.checkIssuer(t.Context()))
	require.Len(t, d.findings, 2)
	assert.Equal(t, well, d.findings[0].Status, d.findings[0].Says)
	assert.Equal(t, wrong, d.findings[1].Status)
	assert.Contains(t, d.findings[1].Says, "404")
	assert.Contains(t, d.findings[1].Remedy, "JWT_ISSUER")
}

func TestDoctorClaimsNothingAboutGroupsThatItCouldNotRead(t *testing.T) {
	d := &doctor{app: &app{stdout: io.Discard, settings: settings.Settings{Store: filepath.Join(t.TempDir(), "model.db")}}}
	model, err := d.openStore(t.Context(), d.settings.Store)
	require.NoError(t, err)
	defer model.Close()
	require.NoError(t, d.checkStore(t.Context()))
	assert.Equal(t, "reachable", d.findings[0].Says)
}
