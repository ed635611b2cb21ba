package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
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
	return &jwtVerifier{rules, i, jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithTimeFunc(i.now),
		jwt.WithIssuer(rules.Issuer), jwt.WithLeeway(leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt())}
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
	audience := jwt.ClaimStrings{c.ClientID}
	if c.Audience != nil {
		audience = *c.Audience
	}
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.rules.Audience, a) }) {
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

// tokenFault is the refusal or the outage that ended parsing. The parser's errors quote the token; the errors that they wrap
// are constants.
func tokenFault(err error) error {
	if refused := new(bearer.Refusal); errors.As(err, &refused) {
		return refused
	}
	if errors.Is(err, errKeys) {
		return errKeys
	}
	for _, reason := range []error{jwt.ErrTokenSignatureInvalid, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenExpired,
		jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenInvalidIssuer} {
		if errors.Is(err, reason) {
			return bearer.Invalid(reason.Error())
		}
	}
	return bearer.Invalid(jwt.ErrTokenMalformed.Error())
}

// claims are those that are looked at. Scopes are separated by spaces (RFC 8693 section 4.2), or in an array.
type claims struct {
	jwt.RegisteredClaims
	Audience *jwt.ClaimStrings `json:"aud"`
	ClientID string            `json:"client_id"`
	Scope    jwt.ClaimStrings  `json:"scope"`
	SCP      jwt.ClaimStrings  `json:"scp"`
}

// UnmarshalJSON matches names exactly and refuses duplicates.
func (c *claims) UnmarshalJSON(b []byte) error {
	type plain claims
	return json.Unmarshal(b, (*plain)(c))
}
