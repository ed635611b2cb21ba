package gateway

import (
	"net/http"
	"slices"
)

// What pages of other origins may send and read, the same for every route, as API Gateway's CORS answers it
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html). There are no cookies, so
// Access-Control-Allow-Credentials is never sent; it would forbid "*".
var (
	allowMethods  = []string{"GET,HEAD,POST,OPTIONS"}
	allowHeaders  = []string{"authorization,content-type,idempotency-key,prefer,traceparent,tracestate,x-request-id"}
	exposeHeaders = []string{"location,retry-after,x-request-id,preference-applied"}
	maxAge        = []string{"3600"}
	anyOrigin     = []string{"*"}
)

// cors answers pages of the origins listed.
type cors struct {
	any     bool
	origins []string
}

func newCORS(origins []string) cors {
	return cors{any: slices.Contains(origins, "*"), origins: origins}
}

// around answers preflights itself: they carry no token by design (Fetch, section 3.3.2), so nothing that asks for one may
// stand before it. An origin that is not listed gets the answer without the headers, and its browser keeps it from the page.
func (c cors) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if !c.any {
			h.Add("Vary", "Origin") // to those without one too: a cache must not mix them
		}
		origin := r.Header["Origin"]
		allowed := len(origin) == 1 && (c.any || slices.Contains(c.origins, origin[0]))
		if allowed {
			h["Access-Control-Allow-Origin"] = anyOrigin
			if !c.any {
				h["Access-Control-Allow-Origin"] = origin[:1:1]
			}
		}
		if r.Method == http.MethodOptions && len(origin) > 0 && r.Header["Access-Control-Request-Method"] != nil {
			if allowed {
				h["Access-Control-Allow-Methods"] = allowMethods
				h["Access-Control-Allow-Headers"] = allowHeaders
				h["Access-Control-Max-Age"] = maxAge
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if allowed {
			h["Access-Control-Expose-Headers"] = exposeHeaders
		}
		next.ServeHTTP(w, r)
	})
}
