// Package bearer says no to a caller the way RFC 6750 section 3 wants it: for whatever tells staff, here or on AWS.
package bearer

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
)

// Refusal is why a caller does not pass, by RFC 6750 section 3.1. Its texts are constants: what a token holds is for nobody.
type Refusal struct {
	Status      int
	Code        string // "" = no credentials came, which is no error
	Description string // without quotes and backslashes, as the RFC wants it
	Scope       string // what would have sufficed
	Detail      string // what to do; "" = what the code means
}

// Error is the description.
func (r *Refusal) Error() string { return r.Description }

// NoCredentials refuses who has shown nothing.
var NoCredentials = &Refusal{Status: http.StatusUnauthorized, Description: "no bearer token came"}

// NoSubject refuses a token that does not tell callers apart.
var NoSubject = Invalid("the token says neither sub nor client_id")

// Malformed refuses a header that cannot be read.
func Malformed(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// Invalid refuses a token that is not good, or not any more.
func Invalid(description string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: "invalid_token", Description: description}
}

// Insufficient refuses a good token that has none of the scopes.
func Insufficient(scope []string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Code: "insufficient_scope",
		Description: "the token has none of the scopes asked for here", Scope: strings.Join(scope, " ")}
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

// details say what to do.
var details = map[string]string{
	"":                   "This is for staff: send a header of the form Authorization: Bearer TOKEN.",
	"invalid_request":    "The header Authorization cannot be read: ",
	"invalid_token":      "Get a new token and send that: ",
	"insufficient_scope": "This is for staff, and your token does not say that you are: ",
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
