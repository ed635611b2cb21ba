package gateway

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clock is a fake clock that moves only on request.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// log records what several goroutines write.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *log) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// signers are made once: an RSA key takes a while.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"rsa":  must(rsa.GenerateKey(rand.Reader, 2048)),
		"p256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"p521": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"new":  must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"ed":   must(ed, err),
	}
})

// testIssuer is an OpenID provider: discovery and keys over real HTTP.
type testIssuer struct {
	*httptest.Server
	reads atomic.Int32 // of the discovery document
	down  atomic.Bool

	mu    sync.Mutex
	name  string // the document's issuer; "" = its address
	keys  string // the document's jwks_uri; "" = the right one
	extra []any  // keys of other sorts
	ids   []string
}

func newTestIssuer(t testing.TB, ids ...string) *testIssuer {
	t.Helper()
	i := &testIssuer{ids: ids}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.reads.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.down.Load() {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		about := map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
		if i.name != "" {
			about["issuer"] = i.name
		}
		if i.keys != "" {
			about["jwks_uri"] = i.keys
		}
		_ = json.NewEncoder(w).Encode(about)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		set := append([]any(nil), i.extra...)
		for _, id := range i.ids {
			set = append(set, jwk(signers()[id].Public(), id, "sig", ""))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": set})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *testIssuer) has(ids ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ids = ids
}

func (i *testIssuer) settings() settings.Web {
	return settings.Web{Auth: settings.Auth{Mode: "jwt", JWT: settings.JWT{Issuer: i.URL, Audience: []string{"sipeat", "other"},
		Scope: []string{"staff", "admin"}}}}
}

// claimsAt returns the claims of a valid token, with changes; nil removes a claim.
func (i *testIssuer) claimsAt(now time.Time, change map[string]any) map[string]any {
	c := map[string]any{"iss": i.URL, "aud": "sipeat", "sub": "user-1", "scope": "openid staff",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, value := range change {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func jwk(public any, id string, use jwkset.USE, alg jwkset.ALG) jwkset.JWKMarshal {
	about := jwkset.JWKMetadataOptions{KID: id, USE: use, ALG: alg}
	return must(jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: about,
		Validate: jwkset.JWKValidateOptions{SkipAll: true}})).Marshal()
}

func sign(alg, id string, claims any) string {
	return signWith(signers()[id], map[string]any{"alg": alg, "typ": "JWT", "kid": id}, string(must(json.Marshal(claims))))
}

// signWith makes tokens of any header and claims.
func signWith(key any, header map[string]any, claims string) string {
	text := part(header) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature := must(jwt.GetSigningMethod(header["alg"].(string)).Sign(text, key))
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func part(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }

// functions are a public one, one for staff, and the health checks.
func functions() []web.Function {
	caller := func(ctx context.Context, _ struct{}) (string, error) { return web.Caller(ctx), nil }
	return append([]web.Function{
		{Name: "open", Route: "POST /contacts", Handler: web.HandleCommand(func(ctx context.Context,
			_ web.Command[struct{}]) (web.Accepted, error) {
			return web.Accepted{ID: "1" + web.Caller(ctx)}, nil
		})},
		{Name: "staff", Route: "GET /contacts", Staff: true, Handler: web.HandleQuery(caller)},
	}, web.Health()...)
}

func routerOf(g *Gateway) http.Handler {
	o := g.Options()
	o.Logger = slog.New(slog.DiscardHandler)
	return web.Router(functions(), o)
}

func newRouter(s settings.Web, c *clock) http.Handler {
	return routerOf(New(s, slog.New(slog.DiscardHandler), c.now))
}

// call sends a request to localhost. Headers are "Name: value"; Host, RemoteAddr and Protocol are taken out of them.
func call(h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(map[string]string{http.MethodPost: "{}"}[method]))
	r.Host = "localhost:8080"
	r.Header.Set("Content-Type", "application/json")
	for _, header := range headers {
		switch name, value, _ := strings.Cut(header, ": "); name {
		case "Host":
			r.Host = value
		case "RemoteAddr":
			r.RemoteAddr = value
		case "Protocol":
			r.Proto, r.ProtoMajor, r.ProtoMinor = value, 1, 0
		default:
			r.Header.Add(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func staff(h http.Handler, token string) *httptest.ResponseRecorder {
	return call(h, "GET", "/contacts", "Authorization: Bearer "+token)
}

// problem checks a problem response, and returns its detail.
func problem(t *testing.T, status int, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p web.Problem
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	assert.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Detail)
	return p.Detail
}
