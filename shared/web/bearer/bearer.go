// Package bearer refuses callers in the form of RFC 6750 section 3: for the guards of servers and of AWS.
package bearer

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
)

// Refusal is the reason why a caller is refused, see RFC 6750 section 3.1. Its texts are constants: they contain no part of a
// token.
type Refusal struct {
	Status      int
	Code        string // "" = no credentials, which is not an error
	Description string // what is wrong or what to do, without quotes and backslashes, as the RFC requires
	Scope       string // the scopes of which one is needed
}

// Error is the description.
func (r *Refusal) Error() string { return r.Description }

// NoCredentials refuses a caller without a token.
var NoCredentials = &Refusal{Status: http.StatusUnauthorized,
	Description: "send a header of the form Authorization: Bearer TOKEN"}

// Malformed refuses a header that cannot be read.
func Malformed(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// Invalid refuses a token that is not valid, or no longer.
func Invalid(description string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: "invalid_token", Description: description + "; get a new one"}
}

// Staff applies API Gateway's rules to the claims of a verified token, and returns its subject: sub, or else client_id. One of
// the scopes must be granted; no scopes = none is needed.
func Staff(sub, clientID string, granted, scopes []string) (subject string, refused *Refusal) {
	subject = cmp.Or(sub, clientID)
	if subject == "" {
		return "", Invalid("the token has neither sub nor client_id")
	}
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	if len(scopes) > 0 && !slices.ContainsFunc(granted, has) {
		return "", &Refusal{http.StatusForbidden, "insufficient_scope", "the token has none of the required scopes",
			strings.Join(scopes, " ")}
	}
	return subject, nil
}

// Write answers with the refusal.
func (r *Refusal) Write(w http.ResponseWriter, req *http.Request) {
	challenge := `Bearer realm="sipeat"`
	if r.Code != "" {
		challenge += `, error="` + r.Code + `", error_description="` + r.Description + `"`
	}
	if r.Scope != "" {
		challenge += `, scope="` + r.Scope + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	web.Problem{Status: r.Status, Detail: "This is for staff: " + r.Description + "."}.Write(w, req)
}
