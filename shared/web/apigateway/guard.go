package apigateway

import (
	"net/http"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// claims are those of a verified token that are looked at. API Gateway writes all of them as text, lists as "[a b]"; a claim
// of another type counts as absent.
type claims struct {
	Subject  any `json:"sub"`
	ClientID any `json:"client_id"`
	Scope    any `json:"scope"`
	SCP      any `json:"scp"`
}

type claimsKey struct{}

var noAuthorizer = &bearer.Refusal{Status: http.StatusUnauthorized, Description: "the route has no authorizer",
	Detail: "This is for staff, and this route of the API has no JWT authorizer: whoever runs the API adds one in template.yaml."}

// Guard lets staff pass, for [web.Guard]: API Gateway's JWT authorizer has verified the token, and its claim sub, or else
// client_id, is [web.Caller]. With scopes the token must have one of them; API Gateway has checked that where the route has
// scopes too. A request without claims is 401, because its route has no authorizer.
//
// `sam local` skips JWT authorizers and sets AWS_SAM_LOCAL=true, which nothing on AWS does: with samLocal a request without
// claims passes, without a caller.
func Guard(samLocal bool, scopes ...string) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := r.Context().Value(claimsKey{}).(*claims)
			if c == nil && samLocal {
				next.ServeHTTP(w, r)
				return
			}
			subject, refused := c.staff(scopes)
			if refused != nil {
				refused.Write(w, r)
				return
			}
			next.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), subject)))
		})
	}
}

func (c *claims) staff(scopes []string) (subject string, refused *bearer.Refusal) {
	if c == nil {
		return "", noAuthorizer
	}
	granted := c.Scope
	if granted == nil {
		granted = c.SCP
	}
	list, _ := granted.(string) // "a b" (RFC 8693 section 4.2), or "[a b]" of an issuer's list
	if inner, found := strings.CutPrefix(list, "["); found && strings.HasSuffix(inner, "]") {
		list = strings.TrimSuffix(inner, "]")
	}
	sub, _ := c.Subject.(string)
	clientID, _ := c.ClientID.(string)
	return bearer.Staff(sub, clientID, strings.Fields(list), scopes)
}
