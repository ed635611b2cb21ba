package gateway

import (
	"net/http"
	"slices"
)

// What pages of other origins may send and read, the same for every route, as API Gateway's CORS answers it
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html). There are no cookies, so
// Access-Control-Allow-Credentials is never sent; it would forbid "*".
const (
	allowMethods  = "GET,HEAD,POST,OPTIONS"
	allowHeaders  = "authorization,content-type,idempotency-key,prefer,traceparent,tracestate,x-request-id"
	exposeHeaders = "location,retry-after,x-request-id,preference-applied"
	maxAge        = "3600" // seconds
)

// cors answers preflights itself: they carry no token by design (Fetch, section 3.3.2), so no check that needs one may run
// before it. An unlisted origin gets the answer without the headers, and the browser hides it from the page.
func cors(origins []string, next http.Handler) http.Handler {
	every := slices.Contains(origins, "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if !every {
			h.Add("Vary", "Origin") // to those without one too: a cache must not mix them
		}
		origin := r.Header["Origin"]
		allowed := len(origin) == 1 && (every || slices.Contains(origins, origin[0]))
		if allowed && every {
			h.Set("Access-Control-Allow-Origin", "*")
		} else if allowed {
			h.Set("Access-Control-Allow-Origin", origin[0])
		}
		if r.Method == http.MethodOptions && len(origin) > 0 && r.Header["Access-Control-Request-Method"] != nil {
			if allowed {
				h.Set("Access-Control-Allow-Methods", allowMethods)
				h.Set("Access-Control-Allow-Headers", allowHeaders)
				h.Set("Access-Control-Max-Age", maxAge)
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if allowed {
			h.Set("Access-Control-Expose-Headers", exposeHeaders)
		}
		next.ServeHTTP(w, r)
	})
}
