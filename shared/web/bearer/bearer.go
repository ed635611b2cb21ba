// Package bearer refuses callers in the form of RFC 6750 section 3: for the guards of servers and of AWS.
package bearer

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
)

// Refusal is the reason why a caller is refused, see RFC 6750 section 3.1. Its texts are constants: they hold nothing of a token.
type Refusal struct {
	Status      int
	Code        string // "" = no credentials, which is not an error
	Description string // without quotes and backslashes, as the RFC requires
	Scope       string // the scopes of which one is needed
	Detail      string // what to do; "" = the code's own
}

// Error is the description.
func (r *Refusal) Error() string { return r.Description }

// NoCredentials refuses a caller without a token.
var NoCredentials = &Refusal{Status: http.StatusUnauthorized, Description: "no bearer token was sent"}

// NoSubject refuses a token that does not identify its caller.
var NoSubject = Invalid("the token has neither sub nor client_id")

// Malformed refuses a header that cannot be read.
func Malformed(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// Invalid refuses a token that is not valid, or no longer.
func Invalid(description string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: "invalid_token", Description: description}
}

// Insufficient refuses a valid token that has none of the scopes.
func Insufficient(scope []string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Code: "insufficient_scope",
		Description: "the token has none of the required scopes", Scope: strings.Join(scope, " ")}
}

// Staff applies API Gateway's rules to the claims of a verified token, and returns its subject: sub, or else client_id. One of
// the scopes must be granted; no scopes = none is needed.
func Staff(sub, clientID string, granted, scopes []string) (subject string, refused *Refusal) {
	subject = cmp.Or(sub, clientID)
	if subject == "" {
		return "", NoSubject
	}
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	if len(scopes) > 0 && !slices.ContainsFunc(granted, has) {
		return "", Insufficient(scopes)
	}
	return subject, nil
}

// challenge is the value of WWW-Authenticate.
func (r *Refusal) challenge() string {
	c := `Bearer realm="sipeat"`
	if r.Code != "" {
		c += `, error="` + r.Code + `", error_description="` + r.Description + `"`
	}
	if r.Scope != "" {
		c += `, scope="` + r.Scope + `"`
	}
	return c
}

// details are what to do about a code.
var details = map[string]string{
	"":                   "This is for staff: send a header of the form Authorization: Bearer TOKEN.",
	"invalid_request":    "The header Authorization cannot be read: ",
	"invalid_token":      "Get a new token and send it: ",
	"insufficient_scope": "This is for staff, and your token does not grant it: ",
}

// Write answers with the refusal.
func (r *Refusal) Write(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("WWW-Authenticate", r.challenge())
	detail := r.Detail
	if detail == "" {
		detail = details[r.Code]
		if r.Code != "" {
			detail += r.Description + "."
		}
	}
	web.Problem{Status: r.Status, Detail: detail}.Write(w, req)
}
