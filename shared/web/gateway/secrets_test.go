package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No log line and no response contains any part of a token, its header or its claims other than the subject, whatever the
// outcome of the request, over a real connection and at level debug.
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
			server := httptest.NewUnstartedServer(nil)
			server.Config = web.Server(web.Router(functions(), g.Options()), l.logger())
			server.Start()

			var answers strings.Builder
			secrets := []string{canary, canary64, claim}
			statuses := map[int]int{}
			for _, token := range given {
				if len(token) > 40 {
					for _, piece := range strings.Split(token, ".") {
						secrets = append(secrets, piece[:min(len(piece), 24)])
					}
				}
				for _, request := range []string{
					"GET /contacts HTTP/1.1\r\nAuthorization: Bearer " + token,
					"GET /contacts HTTP/1.1\r\nAuthorization: Bearer " + token + "\r\nAuthorization: Bearer " + token,
					"GET /contacts HTTP/1.1\r\nAuthorization: Basic " + token,
					"GET /contacts?access_token=" + strings.ReplaceAll(token, " ", "+") + " HTTP/1.1\r\nOrigin: " + shop,
					"OPTIONS /contacts HTTP/1.1\r\nOrigin: " + shop + "\r\nAccess-Control-Request-Method: GET\r\nAuthorization: Bearer " + token,
					"POST /contacts HTTP/1.1\r\nContent-Length: 0\r\nAuthorization: Bearer " + token,
					"GET /nothing HTTP/1.1\r\nAuthorization: Bearer " + token,
				} {
					conn, err := net.Dial("tcp", server.Listener.Addr().String())
					require.NoError(t, err)
					require.NoError(t, conn.SetDeadline(time.Now().Add(8*time.Second)))
					_, err = io.WriteString(conn, request+"\r\nHost: x\r\nConnection: close\r\n\r\n")
					require.NoError(t, err)
					text, err := io.ReadAll(conn)
					require.NoError(t, err)
					conn.Close()
					res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(text))), nil)
					require.NoError(t, err)
					res.Body.Close()
					statuses[res.StatusCode]++
					answers.Write(text)
				}
			}
			server.Close()
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
