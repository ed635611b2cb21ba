package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// maxToken bounds what is parsed. Tokens of the large issuers have 1 to 3 KiB.
const maxToken = 8 << 10

// tokenOf reads the token of a request (RFC 6750 section 2.1). Form fields and query parameters, which the RFC allows too,
// end up in logs and histories: they are ignored.
func tokenOf(h http.Header) (string, *bearer.Refusal) {
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

// tokenSubject is every caller with a token: it stays when tokens are replaced, and with it the meaning of an Idempotency-Key.
const tokenSubject = "staff"

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
	return tokenSubject, nil
}
