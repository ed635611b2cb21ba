package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// maxToken bounds what is parsed. Tokens of the large issuers have 1 to 3 KiB.
const maxToken = 8 << 10

// tokenOf reads the token of a request (RFC 6750 section 2.1). Form fields and query parameters, which the RFC allows too,
// end up in logs and histories: they are ignored.
func tokenOf(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return "", bearer.Malformed("send one Authorization header")
	}
	scheme, token, _ := strings.Cut(strings.Join(values, ""), " ")
	token = strings.Trim(token, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"): // another scheme counts as no credentials: RFC 6750 section 3.1
		return "", bearer.NoCredentials
	case len(token) > maxToken:
		return "", bearer.Invalid("the token is longer than 8192 bytes")
	case !settings.IsToken68(token):
		return "", bearer.Malformed("send one token after the word Bearer")
	}
	return token, nil
}

// tokens are the digests of AUTH_TOKEN: several while one replaces another.
type tokens [][sha256.Size]byte

// TokenSubject is every caller with a token: it stays when tokens are replaced, and with it the meaning of an Idempotency-Key.
const TokenSubject = "staff"

// verify compares all digests, each in constant time.
func (t tokens) verify(_ context.Context, token string) (string, error) {
	digest := sha256.Sum256([]byte(token))
	known := 0
	for i := range t {
		known |= subtle.ConstantTimeCompare(digest[:], t[i][:])
	}
	if known == 0 {
		return "", bearer.Invalid("the token is not known")
	}
	return TokenSubject, nil
}

// leeway is by how much the issuer's clock and ours may differ.
const leeway = 30 * time.Second

// algorithms are those with a public key. "none" and HS256, whose secret would be that key, are not among them (RFC 8725
// sections 2.1 and 3.1).
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (i *issuer) verify(ctx context.Context, token string) (string, error) {
	var c claims
	if _, err := i.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return i.key(ctx, t) }); err != nil {
		return "", tokenFault(err)
	}
	granted := c.Scope
	if granted == nil {
		granted = c.SCP
	}
	subject, refused := bearer.Staff(c.Subject, c.ClientID, strings.Fields(strings.Join(granted, " ")), i.rules.Scope)
	if refused != nil {
		return "", refused
	}
	return subject, nil
}

// tokenFault is the refusal or the outage that ended parsing. The parser's errors quote the token; the errors that they wrap
// are constants.
func tokenFault(err error) error {
	if refused, ok := errors.AsType[*bearer.Refusal](err); ok {
		return refused
	}
	if errors.Is(err, errKeys) {
		return errKeys
	}
	for _, reason := range []error{jwt.ErrTokenSignatureInvalid, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenExpired,
		jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience} {
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

// GetAudience is aud, or else client_id, as API Gateway has it: Cognito's access tokens have no aud.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) {
	if c.Audience != nil {
		return *c.Audience, nil
	}
	return jwt.ClaimStrings{c.ClientID}, nil
}

// UnmarshalJSON matches names exactly and refuses duplicates.
func (c *claims) UnmarshalJSON(b []byte) error {
	type plain claims
	return json.Unmarshal(b, (*plain)(c))
}
