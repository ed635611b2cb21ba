package ses_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/notify"
)

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		status               int
		code, body           string
		result, wrong, never string
	}{
		"may send":    {200, "", `{"SendingEnabled":true,"ProductionAccessEnabled":true}`, "may send", "", "sandbox"},
		"sandbox":     {200, "", `{"SendingEnabled":true,"ProductionAccessEnabled":false}`, "sandbox", "", ""},
		"paused":      {200, "", `{"SendingEnabled":false,"ProductionAccessEnabled":true}`, "", "paused", ""},
		"no right":    {403, "AccessDeniedException", `{"message":"canary"}`, "ses:GetAccount", "", "canary"},
		"a wrong key": {403, "UnrecognizedClientException", `{"message":"canary"}`, "", "UnrecognizedClientException", "canary"},
		"an outage":   {500, "InternalFailure", `{}`, "", "outage", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.Method+" "+r.URL.Path)
				w.Header().Set("X-Amzn-ErrorType", c.code)
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			channels := open(t, &aws{Server: s}).(notify.Channels)
			result, err := channels[0].Notifier.(notify.Prober).Probe(t.Context())
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				result = err.Error()
			} else {
				require.NoError(t, err)
				assert.Contains(t, result, c.result)
			}
			if c.never != "" {
				assert.NotContains(t, result, c.never)
			}
			assert.Equal(t, []string{"GET /v2/email/account"}, asked)
		})
	}
}
