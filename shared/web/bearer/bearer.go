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
	Description string // without quotes and backslashes, as the RFC requires
	Scope       string // the scopes of which one is needed
	Detail      string // what to do, for the problem; "" = the description
}

// Error is the description.
func (r *Refusal) Error() string { return r.Description }

// NoCredentials refuses a caller without a token.
var NoCredentials = &Refusal{Status: http.StatusUnauthorized, Description: "no bearer token was sent",
	Detail: "This is for staff: send a header of the form Authorization: Bearer TOKEN."}

// Malformed refuses a header that cannot be read.
func Malformed(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: "invalid_request", Description: description,
		Detail: "The header Authorization cannot be read: " + description + "."}
}

// Invalid refuses a token that is not valid, or no longer.
func Invalid(description string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: "invalid_token", Description: description,
		Detail: "Get a new token and send it: " + description + "."}
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
		return "", &Refusal{Status: http.StatusForbidden, Code: "insufficient_scope", Scope: strings.Join(scopes, " "),
			Description: "the token has none of the required scopes",
			Detail:      "This is for staff, and your token does not grant it: it has none of the required scopes."}
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
	web.Problem{Status: r.Status, Detail: cmp.Or(r.Detail, "Access refused: "+r.Description+".")}.Write(w, req)
}
