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
		preflight := r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil && r.Header["Origin"] != nil
		if origin := r.Header.Get("Origin"); origin != "" && (every || slices.Contains(origins, origin)) {
			if every {
				origin = "*"
			}
			h.Set("Access-Control-Allow-Origin", origin)
			if preflight {
				h.Set("Access-Control-Allow-Methods", allowMethods)
				h.Set("Access-Control-Allow-Headers", allowHeaders)
				h.Set("Access-Control-Max-Age", maxAge)
			} else {
				h.Set("Access-Control-Expose-Headers", exposeHeaders)
			}
		}
		if preflight {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
