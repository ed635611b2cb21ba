package apigateway

import (
	"net/http"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// claimsKey is for the claims of a verified token. API Gateway writes all of them as text, lists as "[a b]".
type claimsKey struct{}

var noAuthorizer = &bearer.Refusal{Status: http.StatusUnauthorized,
	Description: "this route of the API has no JWT authorizer, which the operator adds in template.yaml"}

// Guard lets staff pass, for [web.Options]: API Gateway's JWT authorizer has verified the token, and its claim sub, or else
// client_id, is [web.Caller]. With scopes the token must have one of them; API Gateway has checked that where the route has
// scopes too. A request without claims is 401, because its route has no authorizer.
//
// `sam local` skips JWT authorizers and sets AWS_SAM_LOCAL=true, which nothing on AWS does: with samLocal a request without
// claims passes, without a caller.
func Guard(samLocal bool, scopes ...string) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, _ := r.Context().Value(claimsKey{}).(map[string]string)
			if claims == nil {
				if samLocal {
					next.ServeHTTP(w, r)
				} else {
					noAuthorizer.Write(w, r)
				}
				return
			}
			granted, found := claims["scope"]
			if !found {
				granted = claims["scp"]
			}
			if inner, found := strings.CutPrefix(granted, "["); found { // of an issuer's list; else "a b" (RFC 8693 section 4.2)
				granted = strings.TrimSuffix(inner, "]")
			}
			subject, refused := bearer.Staff(claims["sub"], claims["client_id"], strings.Fields(granted), scopes)
			if refused != nil {
				refused.Write(w, r)
				return
			}
			next.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), subject)))
		})
	}
}
