package gateway

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/sipeat/sipeat/shared/settings"
)

const (
	issuerTimeout = 5 * time.Second // for discovery and keys together
	maxDocument   = 1 << 20         // bytes
	minRSA        = 2048            // bits: RFC 7518 section 3.3
)

// issuer is where keys come from: OpenID Connect Discovery 1.0, section 4.
type issuer struct {
	url    string
	client *http.Client
}

func newIssuer(address string) issuer {
	return issuer{address, &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || !settings.SafeURL(r.URL) {
			return errors.New("redirected too often, or away from https")
		}
		return nil
	}}}
}

func (i issuer) read() (map[string]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), issuerTimeout)
	defer cancel()
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(ctx, strings.TrimSuffix(i.url, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != i.url { // section 4.3: to the letter
		return nil, fmt.Errorf("JWT_ISSUER is %q and that issuer calls itself %q: set it to what stands in its tokens", i.url, about.Issuer)
	}
	if u, err := url.Parse(about.Keys); err != nil || !settings.SafeURL(u) {
		return nil, fmt.Errorf("the jwks_uri of %s is no https address", i.url)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := i.get(ctx, about.Keys, &set); err != nil {
		return nil, err
	}
	byID := map[string]jose.JSONWebKey{}
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) != nil || !signs(key) {
			continue // RFC 7517 section 5: what is not understood is left out
		}
		if _, twice := byID[key.KeyID]; !twice {
			byID[key.KeyID] = key
		}
	}
	if len(byID) == 0 {
		return nil, fmt.Errorf("%s has no public key with a kid for signatures", about.Keys)
	}
	return byID, nil
}

// signs tells whether tokens can be verified with a key.
func signs(key jose.JSONWebKey) bool {
	if k, ok := key.Key.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		return false
	}
	return key.KeyID != "" && key.IsPublic() && key.Valid() && (key.Use == "" || key.Use == "sig")
}

func (i issuer) get(ctx context.Context, address string, into any) error {
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
		return fmt.Errorf("%s answers %s", address, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("%s answers no JSON that can be read: %w", address, err)
	}
	return nil
}
