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

	issuerTimeout = 5 * time.Second // of discovery and keys together
	maxDocument   = 1 << 20         // bytes
	minRSA        = 2048            // bits: RFC 7518 section 3.3
)

// errKeys is the answer while tokens cannot be verified; the cause is logged once, see refresh.
var errKeys = errors.New("Token signing keys are temporarily unavailable.")

// issuer has the public keys of an OpenID provider (OpenID Connect Discovery 1.0, section 4), read when they are first
// needed. The refresh of jwkset and keyfunc is not used: it needs jwks_uri before the provider can be reached, one malformed
// key costs it the whole set, and it reads documents of any size.
type issuer struct {
	url    string
	client *http.Client
	logger *slog.Logger
	now    func() time.Time
	reads  singleflight.Group // writes set
	set    atomic.Pointer[keySet]
}

type keySet struct {
	keys  map[string]jwkset.JWK // by kid
	read  time.Time             // when the keys were read
	tried time.Time             // when the last read began
	err   error                 // of the last read
}

func newIssuer(address string, logger *slog.Logger, now func() time.Time) *issuer {
	i := &issuer{url: address, logger: logger, now: now, client: &http.Client{CheckRedirect: checkRedirect}}
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
	key, age, found := i.find(id)
	if !found {
		if i.refresh(ctx) != nil {
			return nil, errKeys
		}
		key, _, found = i.find(id)
	} else if age >= keysFresh {
		go func() { _ = i.refresh(context.Background()) }()
	}
	switch {
	case found:
		if alg := key.Marshal().ALG; alg != "" && alg.String() != token.Method.Alg() { // RFC 7517 section 4.4
			return nil, bearer.Invalid("the token's key is not for its algorithm")
		}
		return key.Key(), nil
	case i.set.Load().err != nil: // the provider might know this key
		return nil, errKeys
	}
	return nil, bearer.Invalid("the token's key is not known")
}

func (i *issuer) find(id string) (key jwkset.JWK, age time.Duration, found bool) {
	set := i.set.Load()
	key, found = set.keys[id]
	age = i.now().Sub(set.read)
	return key, age, found && age < keysKept
}

// refresh waits for the read that is running, or for one that it starts unless the last was started a moment ago. An outage
// is logged when it begins and when it ends.
func (i *issuer) refresh(ctx context.Context) error {
	done := i.reads.DoChan("", func() (any, error) {
		now, last := i.now(), i.set.Load()
		if now.Sub(last.tried) < keysPause {
			return nil, nil
		}
		keys, err := i.readKeys()
		switch {
		case err == nil && last.err != nil:
			i.logger.Info("the keys of JWT_ISSUER can be read again")
		case err != nil && last.err == nil:
			i.logger.Warn("the keys of JWT_ISSUER cannot be read", "error", err, "kept", len(last.keys))
		}
		if err != nil {
			i.set.Store(&keySet{last.keys, last.read, now, err})
		} else {
			i.set.Store(&keySet{keys, now, now, nil})
		}
		return nil, nil
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readKeys is not under the context of one request: others wait for it too.
func (i *issuer) readKeys() (map[string]jwkset.JWK, error) {
	ctx, cancel := context.WithTimeout(context.Background(), issuerTimeout)
	defer cancel()
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(ctx, strings.TrimSuffix(i.url, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != i.url { // Discovery section 4.3: identical
		return nil, fmt.Errorf("JWT_ISSUER is %q and that issuer calls itself %.100q: use the iss of its tokens", i.url, about.Issuer)
	}
	if u, err := url.Parse(about.Keys); err != nil || !settings.SafeURL(u) {
		return nil, fmt.Errorf("the jwks_uri of %s is no https address", i.url)
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := i.get(ctx, about.Keys, &set); err != nil {
		return nil, err
	}
	keys := map[string]jwkset.JWK{}
	for _, text := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON([]byte(text), jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && signs(key) { // RFC 7517 section 5: ignore keys that are not understood
			keys[key.Marshal().KID] = key
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%.200s has no public key with a kid for signatures", about.Keys)
	}
	return keys, nil
}

// signs reports whether tokens can be verified with a key.
func signs(key jwkset.JWK) bool {
	k, isRSA := key.Key().(*rsa.PublicKey)
	about := key.Marshal()
	return (!isRSA || k.N.BitLen() >= minRSA) && about.KID != "" && (about.USE == "" || about.USE == jwkset.UseSig)
}

func (i *issuer) get(ctx context.Context, address string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	res, err := i.client.Do(r)
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
