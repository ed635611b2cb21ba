package gateway

import (
	"net/http"
	"strings"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// maxToken bounds what is looked at. Tokens of the large issuers are 1 to 3 KiB.
const maxToken = 8 << 10

// tokenOf reads the token of a request: RFC 6750 section 2.1. A form field or a query parameter, which the RFC knows too, is
// none: they end up in logs and histories.
func tokenOf(h http.Header) (string, *bearer.Refusal) {
	values := h["Authorization"]
	switch len(values) {
	case 0:
		return "", bearer.NoCredentials
	case 1:
	default:
		return "", bearer.Malformed("send one Authorization header")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", bearer.NoCredentials // another scheme: RFC 6750 section 3.1 counts it as none
	}
	token = strings.Trim(token, " ")
	switch {
	case len(token) > maxToken:
		return "", bearer.Invalid("the token is longer than 8192 bytes")
	case !settings.IsToken68(token):
		return "", bearer.Malformed("one token stands behind the word Bearer")
	}
	return token, nil
}
