package program

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oidc is an OpenID provider with one key. It returns its address, the file of its certificate, and what signs tokens.
func oidc(t *testing.T) (issuer, certificate string, sign func(valid time.Duration) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := key.PublicKey.ECDH()
	require.NoError(t, err)
	coordinate := func(from int) string { return base64.RawURLEncoding.EncodeToString(public.Bytes()[from : from+32]) }
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"1","x":%q,"y":%q}]}`,
				coordinate(1), coordinate(33))
			return
		}
		fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":"https://%[1]s/keys"}`, r.Host)
	}))
	t.Cleanup(server.Close)
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(certificate, block, 0o600))
	return server.URL, certificate, func(valid time.Duration) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": server.URL, "aud": "sipeat", "scope": "staff",
			"sub": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(valid).Unix()})
		token.Header["kid"] = "1"
		signed, err := token.SignedString(key)
		require.NoError(t, err)
		return signed
	}
}

// A token of the issuer opens the console of `sipeat api`, and finds requests that were made with it. An expired one is refused.
func TestConsoleTakesJWTs(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	f := newFleet(t, embedded(t, t.TempDir()).Address())
	f.Worker()
	issuer, certificate, sign := oidc(t)
	s := &Serving{Process: Start(t, set(f.command("api", "--http", "127.0.0.1:0"), "SSL_CERT_FILE="+certificate, "AUTH=jwt",
		"JWT_ISSUER="+issuer, "JWT_AUDIENCE=sipeat", "JWT_SCOPE=staff")), Kafka: f.Brokers}
	s.Ready()
	bearer := "Authorization: Bearer " + sign(time.Hour)
	posted := s.Post("/notifications", aNotification, bearer, "Idempotency-Key: by-ada")
	assert.Equal(t, http.StatusUnauthorized, Call(t, "GET", s.URL+"/console/now", "", asJSON).Status)

	p.open(s.URL + "/console/journey/by-ada")
	p.shows("#signin", "staff")
	p.press(sign(-time.Hour), kb.Enter)
	p.shows("#status", "expired")
	p.press(sign(time.Hour), kb.Enter)
	p.shows("section h2", posted.EventID)
	p.shows("section li", "POST /notifications or `sipeat publish`, with an Idempotency-Key")
	p.open(s.URL + "/console/now")
	p.shows("td", "sipeat-")
	for _, e := range p.takeErrors() { // the browser reports refused requests
		assert.Contains(t, e, "401")
	}
}

// While the read model is away the page says so, and comes back by itself.
func TestConsoleWithoutReadModel(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	s := serve(t, t.TempDir())
	id := s.Post("/contacts", AContact).ID
	s.Readable("/contacts", id)
	model, away := filepath.Join(s.Data, "read-model.db"), filepath.Join(s.Data, "away")
	require.NoError(t, os.Rename(model, away))
	for _, view := range []string{"contacts", "demand", "journey/" + url.PathEscape(id)} {
		answer := Call(t, "GET", s.URL+"/console/"+view, "", asJSON)
		assert.Equal(t, http.StatusServiceUnavailable, answer.Status, view)
	}
	p.open(s.URL + "/console/rebuild")
	p.shows("td", "deleted or moved")
	p.open(s.URL + "/console/contacts")
	p.shows("#status", "trying again")
	require.NoError(t, os.Rename(away, model))
	p.shows("td", "Ada Lovelace")
	p.holds(`document.querySelector('#status').textContent === ''`)
	p.takeErrors() // of the requests
}

// The pages hold no data and are public. Their data is for staff.
func TestConsoleIsForStaff(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("staff-", 6)
	s := serve(t, t.TempDir(), "AUTH=token", "AUTH_TOKEN="+token)
	for _, view := range views {
		address := s.URL + "/console/" + view
		page := Call(t, "GET", address, "")
		assert.Equal(t, http.StatusOK, page.Status)
		assert.Contains(t, page.Body, "<!doctype html>")
		assert.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'")
		assert.NotContains(t, page.Body, "contact-created")
		assert.Less(t, len(page.Body), 100_000)
		assert.Equal(t, http.StatusUnauthorized, Call(t, "GET", address, "", asJSON).Status)
		assert.Equal(t, http.StatusUnauthorized, Call(t, "GET", s.URL+"/console/audit/records", "").Status)
		assert.Equal(t, http.StatusOK, Call(t, "GET", address, "", asJSON, "Authorization: Bearer "+token).Status, view)
	}
	p := openTab(t)
	p.open(s.URL)
	p.shows("#signin", "staff")
	assert.True(t, eval[bool](p, `document.querySelector('#view').childElementCount === 0`))
	p.press("cut off…", kb.Enter)
	p.shows("#token:invalid", "") // no header can hold it
	eval[int](p, `(document.querySelector('#token').value = '', 0)`)
	p.press("wrong", kb.Enter)
	p.shows("#status", "not known")
	p.press(token, kb.Enter)
	p.shows("#view", "contact-created")
	assert.Equal(t, token, eval[string](p, `sessionStorage.getItem('token')`))
	assert.True(t, eval[bool](p, `document.cookie === '' && !JSON.stringify(localStorage).includes('staff-')`))
	p.open(s.URL + "/console/now")
	p.shows("#view", "contact-created")
	p.do(chromedp.Focus(chromedp.CSS("#out")))
	p.press(kb.Enter)
	p.shows("#signin", "staff")
	for _, e := range p.takeErrors() { // the browser reports refused requests
		assert.Contains(t, e, "401")
	}
}

// A page of another origin must not act, and what is no token is refused.
func TestConsoleRefusesOtherPages(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "CORS_ORIGINS=https://shop.example")
	for _, kind := range []string{"redrive", "discard"} {
		address, body := s.URL+"/console/dead-letters/"+kind, `{"token":"x","rate":1,"reason":"x"}`
		assert.Equal(t, http.StatusForbidden, Call(t, "POST", address, body, "Origin: https://shop.example").Status)
		assert.Equal(t, http.StatusForbidden, Call(t, "POST", address, body, "Origin: "+s.URL, "Sec-Fetch-Site: cross-site").Status)
		assert.Equal(t, http.StatusForbidden, Call(t, "POST", address, body, "Origin: http://127.0.0.1:1").Status)
		own := Call(t, "POST", address, body, "Origin: "+s.URL, "Sec-Fetch-Site: same-origin")
		assert.Equal(t, http.StatusUnprocessableEntity, own.Status)
		assert.Contains(t, own.Body, "token of a preview")
	}
}
