package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/go-json-experiment/json"
)

const maxKey = 255

// idempotencyKey reads the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible ASCII
// characters but no comma, as they are or as an RFC 8941 string; both spellings are the same key. By a comma something in
// front of us may have joined two headers (RFC 9110 section 5.3), and two are refused. "" = there is none.
func idempotencyKey(h http.Header) (string, *Problem) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) == 1 {
		if key, ok := unquoteKey(values[0]); ok && len(key) >= 1 && len(key) <= maxKey {
			return key, nil
		}
	}
	return "", &Problem{Status: http.StatusBadRequest,
		Detail: "Send at most one Idempotency-Key, of 1 to 255 visible ASCII characters without spaces and commas, such as a UUID."}
}

func unquoteKey(s string) (string, bool) {
	quoted := len(s) > 0 && s[0] == '"'
	if quoted {
		if len(s) < 2 || s[len(s)-1] != '"' {
			return "", false
		}
		s = s[1 : len(s)-1]
	}
	key := make([]byte, 0, min(len(s), maxKey+1))
	for i := 0; i < len(s) && len(key) <= maxKey; i++ {
		c := s[i]
		if quoted && c == '\\' { // RFC 8941 section 3.3.3: \" and \\ only
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			c = s[i]
		} else if quoted && c == '"' {
			return "", false
		}
		if c <= ' ' || c > '~' || c == ',' {
			return "", false
		}
		key = append(key, c)
	}
	return string(key), true
}

// seed digests what makes two requests the same one: 43 characters. The body counts as it was understood, so white space,
// the order of members and escapes in it make no difference. A field added to the type without omitempty changes it:
// a retry across such a release is a new request.
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
		binary.BigEndian.PutUint64(length[:], uint64(len(part))) // so that no part can pass for another's end
		digest.Write(length[:])
		digest.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(digest.Sum(nil)), nil
}
