package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

const (
	leeway      = 30 * time.Second // by how much the issuer's clock and ours may differ
	maxVerified = 4096             // tokens remembered, about 250 bytes each
)

// algorithms are those with a public key. "none" and HS256, whose secret would be that key, are not among them (RFC 8725
// sections 2.1 and 3.1).
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// jwtVerifier verifies the tokens of one issuer. A signature is checked once for each token and set of keys.
type jwtVerifier struct {
	rules    settings.JWT
	keys     *keys
	now      func() time.Time
	verified *lru[[sha256.Size]byte, verified]
}

// verified is a token that passed.
type verified struct {
	subject    string
	until      time.Time
	generation int // of the keys
}

func newJWT(rules settings.JWT, k *keys, now func() time.Time) *jwtVerifier {
	return &jwtVerifier{rules: rules, keys: k, now: now, verified: newLRU[[sha256.Size]byte, verified](maxVerified)}
}

func (v *jwtVerifier) verify(ctx context.Context, token string) (string, error) {
	now := v.now()
	digest := sha256.Sum256([]byte(token))
	if known, ok := v.verified.get(digest); ok && now.Before(known.until) && v.keys.current(known.generation) {
		return known.subject, nil
	}
	signed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return "", bearer.Invalid("the token is no JWT signed by an algorithm accepted here")
	}
	header := signed.Headers[0]
	if header.KeyID == "" {
		return "", bearer.Invalid("the token does not say which key has signed it")
	}
	key, generation, err := v.keys.find(ctx, header.KeyID)
	if err != nil {
		return "", err
	}
	if key.Algorithm != "" && key.Algorithm != header.Algorithm { // RFC 7517 section 4.4
		return "", bearer.Invalid("the token's key is not for its algorithm")
	}
	var c claims
	if err := signed.Claims(key.Key, &c); errors.Is(err, jose.ErrCryptoFailure) {
		return "", bearer.Invalid("the token's signature is wrong")
	} else if err != nil {
		return "", bearer.Invalid("the token's claims cannot be read")
	}
	subject, err := v.judge(&c, now)
	if err != nil {
		return "", err
	}
	v.verified.put(digest, verified{subject, c.Expiry.Time().Add(leeway), generation})
	return subject, nil
}

// claims are those that are looked at. The decoder takes names to the letter and refuses one that is there twice.
type claims struct {
	jwt.Claims
	ClientID string `json:"client_id"`
	Scope    scopes `json:"scope"`
	SCP      scopes `json:"scp"`
}

// scopes is a claim with scopes: RFC 8693 section 4.2 separates them by spaces, some issuers make an array of them.
type scopes []string

func (s *scopes) UnmarshalJSON(b []byte) error {
	var text string
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(s))
	}
	err := json.Unmarshal(b, &text)
	*s = strings.Fields(text)
	return err
}

var claimFaults = map[error]*bearer.Refusal{
	jwt.ErrInvalidIssuer:     bearer.Invalid("the token is from another issuer"),
	jwt.ErrExpired:           bearer.Invalid("the token has expired"),
	jwt.ErrNotValidYet:       bearer.Invalid("the token is not valid yet"),
	jwt.ErrIssuedInTheFuture: bearer.Invalid("the token was issued in the future"),
}

// judge applies the rules in the package's doc, and returns the subject.
func (v *jwtVerifier) judge(c *claims, now time.Time) (string, error) {
	if c.Expiry == nil {
		return "", bearer.Invalid("the token never expires")
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Issuer: v.rules.Issuer, Time: now}, leeway); err != nil {
		if refused := claimFaults[err]; refused != nil {
			return "", refused
		}
		return "", bearer.Invalid("the token's claims are not acceptable")
	}
	audience := []string(c.Audience)
	if c.Audience == nil {
		audience = []string{c.ClientID}
	}
	if !intersect(audience, v.rules.Audience) {
		return "", bearer.Invalid("the token is for another audience")
	}
	subject := c.Subject
	if subject == "" {
		subject = c.ClientID
	}
	if subject == "" {
		return "", bearer.NoSubject
	}
	granted := c.Scope
	if granted == nil {
		granted = c.SCP
	}
	if len(v.rules.Scope) > 0 && !intersect(granted, v.rules.Scope) {
		return "", bearer.Insufficient(v.rules.Scope)
	}
	return subject, nil
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
