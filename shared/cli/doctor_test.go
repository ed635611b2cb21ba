package cli

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestContainersAreJudged(t *testing.T) {
	status := map[string]string{}
	for _, f := range judgeContainers([]byte(`{"Service":"kafka","State":"running","Health":"healthy","ExitCode":0}
{"Service":"dynamodb","State":"running","Health":"unhealthy"}
{"Service":"mail","State":"running","Health":"starting"}
{"Service":"console","State":"exited","ExitCode":137}
{"Service":"tables","State":"exited","ExitCode":0}
`)) {
		status[f.Subject] = f.Status
		assert.Equal(t, f.Status != well, f.Remedy != "", f.Subject)
	}
	assert.Equal(t, map[string]string{"kafka": well, "dynamodb": wrong, "mail": noted, "console": wrong, "tables": well}, status)
	assert.Empty(t, judgeContainers(nil))
}

func TestChecksRunTogetherAndNoneIsWaitedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, end := make(chan struct{}), time.Now()
		defer close(hangs)
		slow := func(context.Context) []finding { <-hangs; return nil }
		quick := func(context.Context) []finding { return []finding{{Subject: "s", Status: well, Says: "fine"}} }
		found := examine(t.Context(), []check{{"one", slow}, {"two", quick}, {"three", slow}})
		assert.Equal(t, checkTimeout, time.Since(end))
		require.Len(t, found, 3)
		assert.Equal(t, finding{Part: "two", Subject: "s", Status: well, Says: "fine"}, found[1])
		for _, i := range []int{0, 2} {
			assert.Equal(t, wrong, found[i].Status)
			assert.NotEmpty(t, found[i].Remedy)
		}
	})
}

func TestFindingsAreAligned(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.showFindings([]finding{
		{Part: "kafka", Subject: "kafka-1:9092", Status: wrong, Says: "gone", Remedy: "start it"}, {Part: "groups", Subject: "ü", Status: well, Says: "there"},
	}))
	assert.Equal(t, ""+
		"wrong    kafka   kafka-1:9092  gone\n"+
		"                               -> start it\n"+
		"ok       groups  ü             there\n", out.String())
}

func TestRetention(t *testing.T) {
	for ms, says := range map[string]string{"-1": "unlimited", "604800000": "7 days", "86400000": "1 day", "3600000": "1h0m0s", "": "?"} {
		assert.Equal(t, says, retention(ms))
	}
}

func TestTheIssuerIsLookedAt(t *testing.T) {
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
	a := &app{logger: slog.New(slog.DiscardHandler)}
	assert.Empty(t, a.checkIssuer(t.Context()), "AUTH is not jwt")

	a.settings.Web.Auth = settings.Auth{Mode: "jwt", JWT: settings.JWT{Issuer: issuer.URL, Audience: []string{"api"}, Scope: []string{"staff"}}}
	found := a.checkIssuer(t.Context())
	require.Len(t, found, 1)
	assert.Equal(t, well, found[0].Status, found[0].Says)

	a.settings.Web.Auth.JWT.Issuer = issuer.URL + "/another"
	found = a.checkIssuer(t.Context())
	require.Len(t, found, 1)
	assert.Equal(t, wrong, found[0].Status)
	assert.Contains(t, found[0].Says, "404")
	assert.Contains(t, found[0].Remedy, "JWT_ISSUER")
}
