package apigateway

import (
	"net/http"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// claims are those of a verified token that are looked at. API Gateway writes all of them as text, lists as "[a b]";
// what is of another type counts as absent.
type claims struct {
	Subject  any `json:"sub"`
	ClientID any `json:"client_id"`
	Scope    any `json:"scope"`
	SCP      any `json:"scp"`
}

type claimsKey struct{}

var noAuthorizer = &bearer.Refusal{Status: http.StatusUnauthorized, Description: "the route has no authorizer",
	Detail: "This is for staff, and nobody has asked who you are: this route of the API has no JWT authorizer. Whoever runs the API gives it one, in template.yaml."}

// Guard lets staff pass, as [web.Guard] wants it: API Gateway's JWT authorizer has verified the token, and its claim sub, or
// else client_id, is [web.Caller]. With scopes the token must have one of them, which API Gateway has checked already where
// the route says so too. A request without claims is 401: its route has no authorizer.
//
// `sam local` skips JWT authorizers and says so by AWS_SAM_LOCAL=true: with samLocal a request without claims passes, as
// anybody's. On AWS nothing sets it.
func Guard(samLocal bool, scopes ...string) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := r.Context().Value(claimsKey{}).(*claims)
			if c == nil && samLocal {
				next.ServeHTTP(w, r)
				return
			}
			subject, refused := c.judge(scopes)
			if refused != nil {
				refused.Write(w, r)
				return
			}
			next.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), subject)))
		})
	}
}

// judge applies the rules of [Guard].
func (c *claims) judge(scopes []string) (subject string, refused *bearer.Refusal) {
	if c == nil {
		return "", noAuthorizer
	}
	granted := c.Scope
	if granted == nil {
		granted = c.SCP
	}
	sub, _ := c.Subject.(string)
	clientID, _ := c.ClientID.(string)
	return bearer.Staff(sub, clientID, listed(granted), scopes)
}

// listed reads a claim with scopes: "a b" (RFC 8693 section 4.2), or a list of some issuers', which API Gateway
// writes "[a b]".
func listed(claim any) []string {
	text, _ := claim.(string)
	if inner, isList := strings.CutPrefix(text, "["); isList && strings.HasSuffix(inner, "]") {
		text = strings.TrimSuffix(inner, "]")
	}
	return strings.Fields(text)
}
