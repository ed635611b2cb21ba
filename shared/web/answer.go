package web

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Nil lists are [] and text is UTF-8 without HTML escapes by the library's default. What a foreign producer wrote on a
// topic comes out again even if it has a name twice or half a surrogate in it: a query must not fail on it.
var answerOptions = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Header values that are always the same. They have no room behind them, so Header.Add copies them.
var (
	typeOfJSON    = []string{"application/json"}
	typeOfProblem = []string{"application/problem+json"}
	noStore       = []string{"no-store"}
	noSniff       = []string{"nosniff"}
)

// Those of every answer, for a browser that is brought to show or embed what is meant for programs.
var (
	policy     = []string{"default-src 'none'; frame-ancestors 'none'"}
	noReferrer = []string{"no-referrer"} // ids stand in paths
	sameOrigin = []string{"same-origin"} // asked in mode no-cors only, so CORS is not in its way (Fetch, 3.7)
	httpsOnly  = []string{"max-age=31536000"}
)

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	writeAs(w, r, status, typeOfJSON, v)
}

func writeAs(w http.ResponseWriter, r *http.Request, status int, contentType []string, v any) {
	buf := answers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= 1<<20 { // a rare large list is not kept for ever
			answers.Put(buf)
		}
	}()
	buf.Reset()
	if err := json.MarshalWrite(buf, v, answerOptions); err != nil {
		fail(w, r, err, queries)
		return
	}
	h := w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(buf.Len())}
	h["Cache-Control"] = noStore // what is in it may be personal
	h["X-Content-Type-Options"] = noSniff
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(buf.Bytes()) // it fails when the client has gone: nobody is left to tell
	}
}

// bounded cuts s to at most n bytes, whole characters, and shows that it did.
func bounded(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// printable is s bounded, on one line, and without characters that could make it look like something else.
func printable(s string, n int) string {
	s = bounded(s, n)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return strings.Map(func(c rune) rune {
				if !unicode.IsPrint(c) {
					return utf8.RuneError
				}
				return c
			}, s)
		}
	}
	return s
}
