package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

const maxKey = 255

// idempotencyKey reads the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible ASCII characters
// without a comma, with which a proxy may have joined two headers (RFC 9110 section 5.3), and two are refused. "" = none.
func idempotencyKey(h http.Header) (string, *Problem) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	bad := strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
	if len(values) > 1 || key == "" || len(key) > maxKey || bad {
		return "", &Problem{Status: http.StatusBadRequest, Detail: "Send at most one Idempotency-Key, " +
			"of 1 to 255 visible ASCII characters without spaces and commas, such as a UUID."}
	}
	return key, nil
}

// seed is a digest of what makes two requests the same one, in 43 characters. The body counts by its meaning, so white space, the
// order of members and escapes make no difference. A field added to the type without omitempty changes it: a retry across
// such a release is a new request.
func seed(r *http.Request, key string, body any) (string, error) {
	canonical, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	route := r.Pattern
	if route == "" { // not called by a router
		route = r.Method + " " + r.URL.Path
	}
	digest := sha256.New()
	for _, part := range [...][]byte{[]byte(route), []byte(Caller(r.Context())), []byte(key), canonical} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part))) // so that the bounds between parts count
		digest.Write(length[:])
		digest.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(digest.Sum(nil)), nil
}
