package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/sipeat/sipeat/shared/web/bearer"
)

// tokens are the digests of the tokens of AUTH=token. Several stand side by side while one replaces another.
type tokens [][sha256.Size]byte

// tokenSubject is everybody who has a token: it stays when tokens are replaced, and with it what an Idempotency-Key means.
const tokenSubject = "staff"

// verify takes as long for every token of one length: all digests are compared, each in constant time.
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
