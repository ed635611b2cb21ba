package gateway

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
)

const (
	tokenA = "0123456789abcdef0123456789abcdef"
	tokenB = "+/-._~9876543210fedcba9876543210fedcba=="
)

func tokenSettings(tokens ...string) settings.Web {
	s := settings.Web{Auth: settings.Auth{Mode: "token"}}
	for _, token := range tokens {
		s.Auth.Tokens = append(s.Auth.Tokens, sha256.Sum256([]byte(token)))
	}
	return s
}

func TestTokens(t *testing.T) {
	h := newRouter(tokenSettings(tokenA, tokenB), newClock())
	for _, good := range []string{"Bearer " + tokenA, "bearer " + tokenA, "BEARER " + tokenB, "Bearer   " + tokenB + " "} {
		w := call(h, "GET", "/contacts", "Authorization: "+good)
		assert.Equal(t, 200, w.Code, good)
		assert.Equal(t, `"staff"`, w.Body.String(), "the same caller, whichever token")
	}
	assert.Equal(t, 200, call(h, "HEAD", "/contacts", "Authorization: Bearer "+tokenA).Code)

	const none, invalid = `Bearer realm="sipeat"`, `, error="invalid_request", error_description="send one `
	const malformed, twoHeaders = none + invalid + `token after the word Bearer"`, none + invalid + `Authorization header"`
	const unknown = none + `, error="invalid_token", error_description="the token is `
	header := func(values ...string) (all []string) {
		for _, v := range values {
			all = append(all, "Authorization: "+v)
		}
		return all
	}
	for name, bad := range map[string]struct {
		headers   []string
		status    int
		challenge string
	}{
		"nothing":         {nil, 401, none},
		"another scheme":  {header("Basic c3RhZmY6c3RhZmY="), 401, none},
		"a bare token":    {header(tokenA), 401, none},
		"no scheme":       {header(""), 401, none},
		"a longer scheme": {header("Bearers " + tokenA), 401, none},
		"another header": {[]string{"X-Authorization: Bearer " + tokenA, "Proxy-Authorization: Bearer " + tokenA,
			"Cookie: token=" + tokenA}, 401, none},
		"scheme alone":         {header("Bearer"), 400, malformed},
		"two tokens":           {header("Bearer " + tokenA + " " + tokenB), 400, malformed},
		"a list":               {header("Bearer " + tokenA + ",Bearer " + tokenB), 400, malformed},
		"two headers":          {header("Bearer "+tokenA, "Bearer "+tokenA), 400, twoHeaders},
		"quotes":               {header(`Bearer "` + tokenA + `"`), 400, malformed},
		"no ASCII":             {header("Bearer ü" + tokenA), 400, malformed},
		"padding alone":        {header("Bearer ="), 400, malformed},
		"unknown":              {header("Bearer " + tokenA[1:]), 401, unknown + `not known; get a new one"`},
		"beginning of a token": {header("Bearer 0"), 401, unknown + `not known; get a new one"`},
		"in another case":      {header("Bearer " + strings.ToUpper(tokenA)), 401, unknown + `not known; get a new one"`},
		"padding left away":    {header("Bearer " + strings.TrimRight(tokenB, "=")), 401, unknown + `not known; get a new one"`},
		"longer than can be": {header("Bearer " + strings.Repeat("a", maxToken+1)), 401,
			unknown + `longer than 8192 bytes; get a new one"`},
		"the digest of a token": {header("Bearer a8ae6e6ee929abea3afcfc5258c8ccd6f85273e0d4626d26c7279f3250f77c8e"), 401,
			unknown + `not known; get a new one"`},
	} {
		for _, target := range []string{"/contacts", "/contacts?access_token=" + tokenA} {
			w := call(h, "GET", target, bad.headers...)
			problem(t, bad.status, w)
			assert.Equal(t, []string{bad.challenge}, w.Header()["Www-Authenticate"], name)
			assert.NotContains(t, w.Body.String(), tokenA)
		}
	}
}

// API Gateway has no authorizer at a public route: the Authorization header is ignored there.
func TestPublicFunctionsIgnoreTokens(t *testing.T) {
	i := newTestIssuer(t, "p256")
	c := newClock()
	for _, s := range []settings.Web{tokenSettings(tokenA), i.settings()} {
		h := newRouter(s, c)
		for _, header := range []string{"X-Nothing: x", "Authorization: Bearer garbage", "Authorization: Basic x",
			"Authorization: Bearer " + tokenA,
			"Authorization: Bearer " + sign("ES256", "p256", i.claimsAt(c.now(), nil))} {
			w := call(h, "POST", "/contacts", header)
			assert.Equal(t, 202, w.Code)
			assert.Equal(t, "/contacts/1", w.Header().Get("Location"), "no caller is known")
			assert.Equal(t, 200, call(h, "GET", "/healthz", header).Code)
			assert.Equal(t, 404, call(h, "GET", "/nothing", header).Code)
		}
	}
	assert.Zero(t, i.reads.Load())
}
