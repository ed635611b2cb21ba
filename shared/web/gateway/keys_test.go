package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// jwtGateway is a gateway, its issuer and its log.
func jwtGateway(i *testIssuer, c *clock) (http.Handler, *issuer, *log) {
	l := &log{}
	g := New(i.settings(), l.logger(), c.now)
	return routerOf(g), g.issuer, l
}

func TestRotation(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "p256")
	h, k, _ := jwtGateway(i, c)
	was := sign("ES256", "p256", i.claimsAt(c.now(), nil))
	is := sign("ES256", "new", i.claimsAt(c.now(), nil))
	require.Equal(t, 200, staff(h, was).Code)

	i.has("p256", "new")
	assert.Contains(t, problem(t, 401, staff(h, is)), "key is not known", "the keys were read a moment ago")
	assert.EqualValues(t, 1, i.reads.Load())
	c.move(keysPause)
	assert.Equal(t, 200, staff(h, is).Code, "an unknown key is looked for")
	assert.Equal(t, 200, staff(h, was).Code, "both are good meanwhile")
	assert.EqualValues(t, 2, i.reads.Load())

	i.has("new")
	c.move(keysFresh)
	assert.Equal(t, 200, staff(h, was).Code, "the refresh runs in the background")
	k.refresh(t.Context())
	assert.Contains(t, problem(t, 401, staff(h, was)), "key is not known", "a token goes with its key")
	assert.Equal(t, 200, staff(h, is).Code)
	assert.EqualValues(t, 3, i.reads.Load())
}

func TestInventedKeysDoNotFloodTheIssuer(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "p256")
	h, _, _ := jwtGateway(i, c)
	invented := sign("ES256", "new", i.claimsAt(c.now(), nil))
	for range 3 {
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() { assert.Equal(t, 401, staff(h, invented).Code) })
		}
		callers.Wait()
		c.move(keysPause)
	}
	assert.EqualValues(t, 3, i.reads.Load())
}

// Known keys are used for up to a day while the issuer is down. The outage is logged with its cause when it begins and when it
// ends.
func TestIssuerOutage(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "p256")
	i.down.Store(true)
	h, k, l := jwtGateway(i, c)
	token := sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"exp": c.now().Add(100 * time.Hour).Unix()}))
	for range 3 {
		w := staff(h, token)
		problem(t, 503, w)
		assert.Equal(t, "5", w.Header().Get("Retry-After"))
		assert.Empty(t, w.Header().Get("WWW-Authenticate"))
		assert.NotContains(t, w.Body.String(), i.URL)
	}
	assert.EqualValues(t, 1, i.reads.Load())
	for range 20 {
		c.move(keysPause)
		problem(t, 503, staff(h, token))
	}
	assert.Equal(t, 1, strings.Count(l.String(), `"level":"WARN"`))
	assert.Equal(t, 1, strings.Count(l.String(), "502 Bad Gateway"))
	assert.Equal(t, 202, call(h, "POST", "/contacts").Code, "public functions need no issuer")

	i.down.Store(false)
	c.move(keysPause)
	require.Equal(t, 200, staff(h, token).Code, "it is tried again")
	assert.Equal(t, 1, strings.Count(l.String(), "can be read again"))

	i.down.Store(true)
	for range 4 {
		c.move(5 * time.Hour)
		require.Equal(t, 200, staff(h, token).Code, "known keys serve while the issuer is away")
		k.refresh(t.Context())
	}
	assert.Equal(t, 2, strings.Count(l.String(), `"level":"WARN"`), "another outage")
	invented := sign("ES256", "new", i.claimsAt(c.now(), nil))
	problem(t, 503, staff(h, invented)) // the issuer might know it
	c.move(5 * time.Hour)
	problem(t, 503, staff(h, token)) // the keys are older than a day
	i.down.Store(false)
	c.move(keysPause)
	assert.Equal(t, 200, staff(h, token).Code)
}

// Requests share the first read, which follows redirects of the issuer; one whose client leaves does not wait for it.
func TestFirstReading(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "p256")
	hold, inner := make(chan struct{}), i.Config.Handler
	i.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-hold
		if path, found := strings.CutPrefix(r.URL.Path, "/moved"); found {
			r.URL.Path = path
			inner.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
	})
	h, k, _ := jwtGateway(i, c)
	token := sign("ES256", "p256", i.claimsAt(c.now(), nil))
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() { assert.Equal(t, 200, staff(h, token).Code) })
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := k.verify(gone, token)
	assert.ErrorIs(t, err, errKeys)
	assert.ErrorIs(t, (&Gateway{issuer: k}).Ping(gone), context.Canceled)
	close(hold)
	callers.Wait()
	assert.EqualValues(t, 1, i.reads.Load())
}

// A key counts for itself: certificates are not used, and the thumbprints of some issuers are wrong.
func TestCertificatesOfKeysAreIgnored(t *testing.T) {
	signer := signers()["p256"]
	about := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate := must(x509.CreateCertificate(rand.Reader, about, about, signer.Public(), signer))
	thumbprint := sha1.Sum(certificate)
	hexadecimal := base64.RawURLEncoding.EncodeToString([]byte(hex.EncodeToString(thumbprint[:])))
	for name, spoil := range map[string]func(*jwkset.JWKMarshal){
		"thumbprint in hexadecimal": func(k *jwkset.JWKMarshal) {
			k.X5C, k.X5T = []string{base64.StdEncoding.EncodeToString(certificate)}, hexadecimal
		},
		"certificate that Go cannot parse": func(k *jwkset.JWKMarshal) { k.X5C = []string{"AAAA"} },
		"address without https":            func(k *jwkset.JWKMarshal) { k.X5U = "http://login.example.com" },
	} {
		c, i := newClock(), newTestIssuer(t)
		key := jwk(signer.Public(), "p256", "sig", "")
		spoil(&key)
		i.extra = []any{key}
		w := staff(newRouter(i.settings(), c), sign("ES256", "p256", i.claimsAt(c.now(), nil)))
		assert.Equal(t, 200, w.Code, "%s: %s", name, w.Body)
	}
}

func TestUntrustedIssuers(t *testing.T) {
	for says, spoil := range map[string]func(*testIssuer){
		"calls itself":       func(i *testIssuer) { i.name = "https://login.example.com" },
		"no https address":   func(i *testIssuer) { i.keys = "http://login.example.com/keys" },
		"404 Not Found":      func(i *testIssuer) { i.keys = i.URL + "/nothing" },
		"no public key":      func(i *testIssuer) { i.ids = nil },
		"no JSON that can":   func(i *testIssuer) { i.Config.Handler = text("<html>") },
		"redirected too":     func(i *testIssuer) { i.Config.Handler = http.RedirectHandler("/elsewhere", http.StatusFound) },
		"away from https":    func(i *testIssuer) { i.Config.Handler = http.RedirectHandler("http://example.com", http.StatusFound) },
		"unexpected EOF":     func(i *testIssuer) { i.Config.Handler = text(`{"issuer":"` + strings.Repeat("x", maxDocument) + `"}`) },
		"connection refused": func(i *testIssuer) { i.Close() },
	} {
		c, i := newClock(), newTestIssuer(t, "p256")
		spoil(i)
		h, _, l := jwtGateway(i, c)
		problem(t, 503, staff(h, sign("ES256", "p256", i.claimsAt(c.now(), nil))))
		assert.Contains(t, l.String(), says)
	}
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) })
}
