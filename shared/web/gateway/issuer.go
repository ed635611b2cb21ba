package gateway

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
	"golang.org/x/sync/singleflight"
)

const (
	// keysFresh is after how long keys are read again, while the old ones serve. A key that the issuer withdraws is trusted
	// for that long; API Gateway keeps keys for up to two hours.
	keysFresh = time.Hour
	keysKept  = 24 * time.Hour // how long keys serve while the issuer is away
	// keysPause is the shortest time between two reads, so that tokens with invented key ids cannot flood the issuer.
	keysPause = 5 * time.Second

	issuerTimeout = 5 * time.Second // of discovery and of keys
	maxDocument   = 1 << 20         // bytes
	minRSA        = 2048            // bits: RFC 7518 section 3.3
)

// errKeys is the answer while tokens cannot be verified; the cause is logged once, see refresh.
var errKeys = errors.New("Token signing keys are temporarily unavailable.")

// issuer has the public keys of an OpenID provider (OpenID Connect Discovery 1.0, section 4), read when they are first
// needed, and verifies its tokens. The refresh of jwkset and keyfunc is not used: it needs jwks_uri before the provider can be
// reached, one malformed key costs it the whole set, and it reads documents of any size.
type issuer struct {
	rules  settings.JWT
	parser *jwt.Parser
	client *http.Client
	logger *slog.Logger
	now    func() time.Time
	reads  singleflight.Group
	set    atomic.Pointer[keySet]
}

type keySet struct {
	keys  map[string]jwkset.JWK // by kid
	read  time.Time             // when the keys were read
	tried time.Time             // when the last read began
	err   error                 // of the last read; the keys are older then
}

func newIssuer(rules settings.JWT, logger *slog.Logger, now func() time.Time) *issuer {
	i := &issuer{rules: rules, logger: logger, now: now, client: &http.Client{CheckRedirect: checkRedirect, Timeout: issuerTimeout},
		parser: jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now), jwt.WithLeeway(leeway),
			jwt.WithIssuer(rules.Issuer), jwt.WithAudience(rules.Audience...), jwt.WithExpirationRequired(), jwt.WithIssuedAt())}
	i.set.Store(&keySet{})
	return i
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || !settings.SafeURL(r.URL) {
		return errors.New("redirected too often, or away from https")
	}
	return nil
}

// key returns the key that has signed a token. An unknown key id is looked up at the provider.
func (i *issuer) key(ctx context.Context, token *jwt.Token) (any, error) {
	id, _ := token.Header["kid"].(string)
	if id == "" {
		return nil, bearer.Invalid("the token does not say which key has signed it")
	}
	set := i.set.Load()
	key, found := set.keys[id]
	now := i.now()
	if age := now.Sub(set.tried); !found || now.Sub(set.read) >= keysKept {
		set = i.refresh(ctx)
		key, found = set.keys[id]
	} else if age >= keysFresh || set.err != nil && age >= keysPause {
		go i.refresh(context.Background())
	}
	switch {
	case set.err != nil && (!found || now.Sub(set.read) >= keysKept), ctx.Err() != nil: // the provider might know this key
		return nil, errKeys
	case !found:
		return nil, bearer.Invalid("the token's key is not known")
	case key.Marshal().ALG != "" && key.Marshal().ALG.String() != token.Method.Alg(): // RFC 7517 section 4.4
		return nil, bearer.Invalid("the token's key is not for its algorithm")
	case token.Header["crit"] != nil: // RFC 7515 section 4.1.11: no extension is understood
		return nil, bearer.Invalid("the token has a critical header")
	}
	return key.Key(), nil
}

// refresh waits, as long as ctx lasts, for the read that is running, or for one that it starts unless the last was started a
// moment ago. An outage is logged when it begins and when it ends.
func (i *issuer) refresh(ctx context.Context) *keySet {
	done := i.reads.DoChan("", func() (any, error) {
		last, now := i.set.Load(), i.now()
		if now.Sub(last.tried) < keysPause {
			return nil, nil
		}
		keys, err := i.readKeys()
		next := &keySet{keys, now, now, err}
		if err != nil {
			next.keys, next.read = last.keys, last.read
		}
		i.set.Store(next)
		if err != nil && last.err == nil {
			i.logger.Warn("the keys of JWT_ISSUER cannot be read", "error", err, "kept", len(last.keys))
		} else if err == nil && last.err != nil {
			i.logger.Info("the keys of JWT_ISSUER can be read again")
		}
		return nil, nil
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
	return i.set.Load()
}

func (i *issuer) readKeys() (map[string]jwkset.JWK, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(strings.TrimSuffix(i.rules.Issuer, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != i.rules.Issuer { // Discovery section 4.3: identical
		return nil, fmt.Errorf("JWT_ISSUER is %q and that issuer calls itself %.100q: use the iss of its tokens", i.rules.Issuer,
			about.Issuer)
	}
	if u, err := url.Parse(about.Keys); err != nil || !settings.SafeURL(u) {
		return nil, fmt.Errorf("the jwks_uri of %s is no https address", i.rules.Issuer)
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := i.get(about.Keys, &set); err != nil {
		return nil, err
	}
	keys := map[string]jwkset.JWK{}
	for _, text := range set.Keys {
		var about jwkset.JWKMarshal
		err := json.Unmarshal(text, &about)
		// Certificates are not used, and jwkset refuses a key for a fault of its certificate, such as Auth0's thumbprint in
		// hexadecimal (https://github.com/MicahParks/keyfunc/issues/150).
		about.X5C, about.X5T, about.X5TS256, about.X5U = nil, "", "", ""
		key, notUsable := jwkset.NewJWKFromMarshal(about, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || notUsable != nil { // RFC 7517 section 5: ignore keys that are not understood
			continue
		}
		k, isRSA := key.Key().(*rsa.PublicKey)
		if about.KID != "" && (about.USE == "" || about.USE == jwkset.UseSig) && (!isRSA || k.N.BitLen() >= minRSA) {
			keys[about.KID] = key
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%.200s has no public key with a kid for signatures", about.Keys)
	}
	return keys, nil
}

func (i *issuer) get(address string, into any) error {
	res, err := i.client.Get(address)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%.200s answers %s", address, res.Status)
	}
	if err := json.UnmarshalRead(io.LimitReader(res.Body, maxDocument), into); err != nil {
		return fmt.Errorf("%.200s answers no JSON that can be read: %w", address, err)
	}
	return nil
}
