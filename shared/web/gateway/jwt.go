package gateway

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// leeway is by how much the issuer's clock and ours may differ.
const leeway = 30 * time.Second

// algorithms are those with a public key. "none" and HS256, whose secret would be that key, are not among them (RFC 8725
// sections 2.1 and 3.1).
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// jwtVerifier verifies the tokens of one issuer.
type jwtVerifier struct {
	rules  settings.JWT
	issuer *issuer
	parser *jwt.Parser
}

func newJWT(rules settings.JWT, i *issuer) *jwtVerifier {
	return &jwtVerifier{rules, i, jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(i.now), jwt.WithLeeway(leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt())}
}

func (v *jwtVerifier) verify(ctx context.Context, token string) (string, error) {
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if t.Header["crit"] != nil { // RFC 7515 section 4.1.11: no extension is understood
			return nil, bearer.Invalid("the token has a critical header")
		}
		return v.issuer.key(ctx, t)
	})
	if err != nil {
		return "", tokenFault(err)
	}
	audience := c.Audience
	if audience == nil {
		audience = list{c.ClientID}
	}
	switch {
	case c.Issuer != v.rules.Issuer:
		return "", bearer.Invalid("the token is from another issuer")
	case !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.rules.Audience, a) }):
		return "", bearer.Invalid("the token is for another audience")
	}
	granted := c.Scope
	if granted == nil {
		granted = c.SCP
	}
	subject, refused := bearer.Staff(c.Subject, c.ClientID, strings.Fields(strings.Join(granted, " ")), v.rules.Scope)
	if refused != nil {
		return "", refused
	}
	return subject, nil
}

var errClaims = errors.New("claims of a wrong type, or a claim twice")

// tokenFaults are what the parser finds. Its own texts quote the token.
var tokenFaults = []struct {
	err     error
	refusal *bearer.Refusal
}{
	{errClaims, bearer.Invalid("the token's claims cannot be read")},
	{jwt.ErrTokenSignatureInvalid, bearer.Invalid("the token's signature or its algorithm is wrong")},
	{jwt.ErrTokenRequiredClaimMissing, bearer.Invalid("the token never expires")},
	{jwt.ErrTokenExpired, bearer.Invalid("the token has expired")},
	{jwt.ErrTokenNotValidYet, bearer.Invalid("the token is not valid yet")},
	{jwt.ErrTokenUsedBeforeIssued, bearer.Invalid("the token was issued in the future")},
}

func tokenFault(err error) error {
	var refused *bearer.Refusal
	if errors.As(err, &refused) {
		return refused
	}
	if unavailable := new(events.Error); errors.As(err, &unavailable) {
		return unavailable
	}
	for _, f := range tokenFaults {
		if errors.Is(err, f.err) {
			return f.refusal
		}
	}
	return bearer.Invalid("the token is no signed JWT")
}

// claims are those that are looked at.
type claims struct {
	jwt.RegisteredClaims
	Audience list   `json:"aud"`
	ClientID string `json:"client_id"`
	Scope    list   `json:"scope"`
	SCP      list   `json:"scp"`
}

// UnmarshalJSON takes names to the letter, refuses one that is there twice, and times that no calendar has.
func (c *claims) UnmarshalJSON(b []byte) error {
	type plain claims
	if json.Unmarshal(b, (*plain)(c)) != nil {
		return errClaims
	}
	for _, date := range []*jwt.NumericDate{c.ExpiresAt, c.NotBefore, c.IssuedAt} {
		if date != nil && (date.Unix() < 0 || date.Year() > 9999) {
			return errClaims
		}
	}
	return nil
}

// list is a claim with one text or several: scopes are separated by spaces (RFC 8693 section 4.2), or in an array.
type list []string

func (l *list) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("[")) {
		return json.Unmarshal(b, (*[]string)(l))
	}
	*l = make(list, 1)
	return json.Unmarshal(b, &(*l)[0])
}
