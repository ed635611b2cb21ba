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

	"github.com/sipeat/sipeat/shared/bus"
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
	}))
	assert.Equal(t, ""+
		"wrong  kafka   kafka-1:9092  gone\n"+
		"                             -> start it\n"+
		"ok     groups  ü             there\n", out.String())
}

func TestGroupsAreJudged(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		group        kafka.GroupState
		status, says string
	}{
		"well":       {kafka.GroupState{State: "Stable", Members: []string{"a"}, Partitions: 6, Topic: "t"}, well, "0 events to handle on t"},
		"no topic":   {kafka.GroupState{State: "Dead", Topic: "t"}, noted, "topic t does not exist"},
		"no members": {kafka.GroupState{State: "Empty", Partitions: 6}, wrong, "0 members"},
		"rebalance":  {kafka.GroupState{State: "PreparingRebalance", Members: []string{"a"}, Partitions: 6}, noted, "1 member"},
		"behind": {kafka.GroupState{State: "Stable", Members: []string{"a"}, Partitions: 6, Lag: 1, Oldest: now.Add(-time.Minute)}, noted,
			"the oldest 1m0s old"},
	} {
		f := judgeGroup(c.group, now)
		assert.Equal(t, c.status, f.Status, name)
		assert.Contains(t, f.Says, c.says, name)
	}
}

func TestRejectionsAreCountedByClass(t *testing.T) {
	classes := map[bus.Class]int{"invalid": 1, "undecodable": 2}
	assert.Equal(t, "3 rejected events: 2 undecodable, 1 invalid", rejections(kafka.DeadLetterCount{Events: 3, Complete: true, Classes: classes}))
	assert.Equal(t, "900 dead letters: of the newest 3 2 undecodable, 1 invalid",
		rejections(kafka.DeadLetterCount{Records: 900, Read: 3, Classes: classes}))
}

func TestIssuerIsChecked(t *testing.T) {
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
	for path, status := range map[string]string{"": well, "/another": wrong} {
		a.settings.Web.Auth = settings.Auth{Mode: "jwt",
			JWT: settings.JWT{Issuer: issuer.URL + path, Audience: []string{"api"}, Scope: []string{"staff"}}}
		found := a.checkIssuer(t.Context())
		require.Len(t, found, 1)
		assert.Equal(t, status, found[0].Status, found[0].Says)
	}
}
