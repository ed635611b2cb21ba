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
	"github.com/MicahParks/keyfunc/v3"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

const (
	// keysFresh is after how long keys are read again, while the old ones serve. A key that the issuer withdraws is trusted
	// for that long; API Gateway keeps keys for up to two hours.
	keysFresh = time.Hour
	// keysKept is how long keys serve while the issuer is away.
	keysKept = 24 * time.Hour
	// keysPause is the shortest time between two reads, so that tokens with invented key ids cannot flood the issuer.
	keysPause = 5 * time.Second
	// outageLog is the time between two log lines about an issuer that is away.
	outageLog = 15 * time.Minute

	issuerTimeout = 5 * time.Second // of discovery and keys together
	maxDocument   = 1 << 20         // bytes
	minRSA        = 2048            // bits: RFC 7518 section 3.3
)

// issuer has the public keys of an OpenID provider (OpenID Connect Discovery 1.0, section 4), read when they are first
// needed. keyfunc's own refresh is not used: it needs jwks_uri before the provider can be reached, one malformed key costs
// it the whole set, and it reads documents of any size.
type issuer struct {
	url    string
	client *http.Client
	logger *slog.Logger
	now    func() time.Time

	reads singleflight.Group // writes set
	set   atomic.Pointer[keySet]
	tries *rate.Limiter
	logs  *rate.Limiter
}

type keySet struct {
	keyfunc.Keyfunc           // nil = never read
	read            time.Time // when
	err             error     // of the last try
}

func newIssuer(address string, logger *slog.Logger, now func() time.Time) *issuer {
	i := &issuer{url: address, logger: logger, now: now, client: &http.Client{CheckRedirect: checkRedirect},
		tries: rate.NewLimiter(rate.Every(keysPause), 1), logs: rate.NewLimiter(rate.Every(outageLog), 1)}
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
	if !i.has(set, id) {
		if err := i.refresh(ctx); err != nil {
			return nil, events.Wrap(events.Unavailable, err, "Token signing keys could not be read in time.")
		}
		set = i.set.Load()
	} else if i.now().Sub(set.read) >= keysFresh {
		go func() { _ = i.refresh(ctx) }()
	}
	switch {
	case i.has(set, id):
		key, err := set.KeyfuncCtx(ctx)(token)
		if err != nil { // RFC 7517 section 4.4
			return nil, bearer.Invalid("the token's key is not for its algorithm")
		}
		return key, nil
	case set.err != nil: // the provider might know this key
		return nil, &events.Error{Kind: events.Unavailable, Message: "Token signing keys are temporarily unavailable.",
			RetryAfter: keysPause, Err: set.err}
	}
	return nil, bearer.Invalid("the token's key is not known")
}

func (i *issuer) has(set *keySet, id string) bool {
	if set.Keyfunc == nil || i.now().Sub(set.read) >= keysKept {
		return false
	}
	_, err := set.Storage().KeyRead(context.Background(), id)
	return err == nil
}

// ping reads the keys if they never were or the last try failed, and returns how that ended.
func (i *issuer) ping(ctx context.Context) error {
	if set := i.set.Load(); set.Keyfunc == nil || set.err != nil {
		if err := i.refresh(ctx); err != nil {
			return err
		}
	}
	return i.set.Load().err
}

// refresh waits for the read that is running, or for one that it starts unless the last was started a moment ago.
func (i *issuer) refresh(ctx context.Context) error {
	done := i.reads.DoChan("", func() (any, error) {
		now, last := i.now(), i.set.Load()
		if !i.tries.AllowN(now, 1) {
			return nil, nil
		}
		keys, err := i.readKeys()
		switch {
		case err == nil && last.err != nil:
			i.logger.Info("the keys of JWT_ISSUER can be read again")
		case err != nil && i.logs.AllowN(now, 1):
			i.logger.Warn("the keys of JWT_ISSUER cannot be read", "error", err, "kept", last.Keyfunc != nil)
		}
		if err != nil {
			i.set.Store(&keySet{last.Keyfunc, last.read, err})
		} else {
			i.set.Store(&keySet{keys, now, nil})
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
func (i *issuer) readKeys() (keyfunc.Keyfunc, error) {
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
	storage, found := jwkset.NewMemoryStorage(), false
	for _, text := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON([]byte(text), jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && signs(key) { // RFC 7517 section 5: ignore keys that are not understood
			_ = storage.KeyWrite(ctx, key) // never fails
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("%.200s has no public key with a kid for signatures", about.Keys)
	}
	return keyfunc.New(keyfunc.Options{Storage: storage})
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
	r.Header.Set("Accept", "application/json")
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
