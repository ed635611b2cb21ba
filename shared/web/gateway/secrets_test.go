package gateway

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No log line and no response contains any part of a token, its header or its claims other than the subject, whatever the
// outcome of the request, at level debug.
func TestTokensAreNotLogged(t *testing.T) {
	const canary, canary64, claim = "CanaryToken1", "Q2FuYXJ5VG9rZW4x", "CanaryClaim"
	c, i := newClock(), newTestIssuer(t, "p256")
	secret := canary + strings.Repeat("x", 32)
	claims := map[string]any{"email": claim, "scope": "staff " + claim, "jti": claim}
	tokensOf := map[string][]string{
		"jwt": {
			sign("ES256", "p256", i.claimsAt(c.now(), claims)),
			sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"scope": claim})),
			sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"aud": claim})),
			sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"iss": claim})),
			sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"exp": claim})),
			sign("ES256", "new", i.claimsAt(c.now(), claims)),
			part(map[string]any{"alg": claim, "kid": claim}) + "." + part(claims) + ".AAAA",
			canary, canary + "." + canary64 + "." + canary, canary + "!", canary + " " + canary,
		},
		"token": {secret, canary, canary + "!", canary + " " + canary},
	}
	for mode, given := range tokensOf {
		for _, down := range []bool{false, true} {
			i.down.Store(down)
			s := i.settings()
			if mode == "token" {
				s = tokenSettings(secret)
			}
			s.CORSOrigins, s.Staff, s.Public = []string{shop}, settings.Limit{Rate: 1, Burst: 40}, settings.Limit{Rate: 1, Burst: 2}
			l := &log{}
			l.logger().Debug("settings", "web", s)
			g := New(s, l.logger(), c.now)
			router := web.Router(functions(), g.Options())
			var answers strings.Builder
			secrets := []string{canary, canary64, claim}
			statuses := map[int]int{}
			for _, token := range given {
				if len(token) > 40 {
					for _, piece := range strings.Split(token, ".") {
						secrets = append(secrets, piece[:min(len(piece), 24)])
					}
				}
				for _, request := range [][]string{
					{"GET", "/contacts", "Authorization: Bearer " + token},
					{"GET", "/contacts", "Authorization: Bearer " + token, "Authorization: Bearer " + token},
					{"GET", "/contacts", "Authorization: Basic " + token},
					{"GET", "/contacts?access_token=" + url.QueryEscape(token), "Origin: " + shop},
					{"OPTIONS", "/contacts", "Origin: " + shop, "Access-Control-Request-Method: GET", "Authorization: Bearer " + token},
					{"POST", "/contacts", "Authorization: Bearer " + token},
					{"GET", "/nothing", "Authorization: Bearer " + token},
				} {
					w := call(router, request[0], request[1], request[2:]...)
					statuses[w.Code]++
					require.NoError(t, w.Header().Write(&answers))
					answers.WriteString(w.Body.String())
				}
			}
			// An unknown key id while the issuer is away is 503; all others have the same result in both states.
			assert.NotZero(t, statuses[401])
			assert.NotZero(t, statuses[400])
			assert.NotZero(t, statuses[429])
			if mode == "jwt" {
				assert.Equal(t, down, statuses[503] > 0)
				assert.Equal(t, !down, statuses[403] > 0)
			}
			assert.Contains(t, l.String(), `"level":"DEBUG"`)
			for _, s := range secrets {
				if s != "" {
					assert.NotContains(t, l.String(), s, "%s, issuer away: %v", mode, down)
					assert.NotContains(t, answers.String(), s, "%s, issuer away: %v", mode, down)
				}
			}
		}
	}
}
