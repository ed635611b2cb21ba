package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFindingsAreAligned(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.printFindings([]finding{
		{Part: "kafka", Subject: "kafka-1:9092", Status: wrong, Says: "gone", Remedy: "start it"},
		{Part: "groups", Subject: "ü", Status: well, Says: "there"},
	}, false))
	assert.Equal(t, ""+
		"wrong  kafka   kafka-1:9092  gone\n"+
		"                             -> start it\n"+
		"ok     groups  ü             there\n", out.String())
}

func TestGroupsAreJudged(t *testing.T) {
	now, worker := time.Now(), 1
	for name, c := range map[string]struct {
		group        kafka.GroupState
		status, says string
	}{
		"well":       {kafka.GroupState{State: "Stable", Members: worker, Partitions: 6, Topic: "t"}, well, "0 events to handle on t"},
		"no topic":   {kafka.GroupState{State: "Dead", Topic: "t"}, noted, "topic t does not exist"},
		"no members": {kafka.GroupState{State: "Empty", Partitions: 6}, wrong, "0 members"},
		"rebalance":  {kafka.GroupState{State: "PreparingRebalance", Members: worker, Partitions: 6}, noted, "1 member"},
		"behind": {kafka.GroupState{State: "Stable", Members: worker, Partitions: 6, Lag: 1, Oldest: now.Add(-time.Minute)},
			noted, "the oldest 1m0s old"},
	} {
		var r report
		r.addGroup(c.group, now)
		assert.Equal(t, c.status, r.findings[0].Status, name)
		assert.Contains(t, r.findings[0].Says, c.says, name)
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
	a := &app{logger: slog.New(slog.DiscardHandler)}
	a.settings.Web.Auth = settings.Auth{Mode: "jwt",
		JWT: settings.JWT{Issuer: issuer.URL, Audience: []string{"api"}, Scope: []string{"staff"}}}
	var r report
	a.checkIssuer(t.Context(), &r)
	a.settings.Web.Auth.JWT.Issuer += "/another"
	a.checkIssuer(t.Context(), &r)
	require.Len(t, r.findings, 2)
	assert.Equal(t, well, r.findings[0].Status, r.findings[0].Says)
	assert.Equal(t, wrong, r.findings[1].Status)
	assert.Contains(t, r.findings[1].Says, "404")
	assert.Contains(t, r.findings[1].Remedy, "JWT_ISSUER")
}
