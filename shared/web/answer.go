package web

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// By the library's default nil lists are [] and text is UTF-8 without HTML escapes. A record of another producer is shown even
// if it has a duplicate name or half a surrogate pair: a query must not fail on it.
var answerOptions = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// setPolicies sets the headers of every answer, for a browser that is made to show or embed what is meant for programs.
func setPolicies(h http.Header, tls bool) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")              // paths contain ids
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // for mode no-cors only, so CORS still works (Fetch, 3.7)
	if tls {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	writeAs(w, r, status, "application/json", v)
}

func writeAs(w http.ResponseWriter, r *http.Request, status int, contentType string, v any) {
	b, err := json.Marshal(v, answerOptions)
	if err != nil {
		fail(w, r, err, invalidParameters)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store") // it may hold personal data
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // it fails only when the client has gone
	}
}
