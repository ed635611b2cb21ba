package apigateway

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// answer is a response to API Gateway, in format 2.0.
type answer struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Cookies         []string          `json:"cookies,omitempty"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

var errCut = errors.New("apigateway: the handler panicked; its response is not sent, see the log")

// writer accepts a response as net/http's server does.
type writer struct {
	header http.Header
	body   []byte
	answer answer // StatusCode 0 = not written yet
}

// serve has the handler answer.
func (w *writer) serve(h http.Handler, r *http.Request) (err error) {
	err = errCut                     //nolint:wastedassign // the result after a panic
	defer func() { _ = recover() }() // the router has logged it, and the text may have personal data in it
	h.ServeHTTP(w, r)
	if w.answer.StatusCode == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case r.Method == http.MethodHead:
	case utf8.Valid(w.body):
		w.answer.Body = string(w.body)
	default:
		w.answer.Body, w.answer.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body), true
	}
	return nil
}

func (w *writer) Header() http.Header { return w.header }

// WriteHeader fixes status and headers: what is set afterwards is not sent.
func (w *writer) WriteHeader(status int) {
	if w.answer.StatusCode != 0 || status < 200 {
		return
	}
	w.answer = answer{StatusCode: status, Headers: make(map[string]string, len(w.header))}
	for name, values := range w.header {
		switch {
		case slices.Contains([]string{"Connection", "Content-Length", "Transfer-Encoding"}, name): // API Gateway's own
		case name == "Set-Cookie": // the one that cannot be joined, RFC 9110 section 5.3
			w.answer.Cookies = slices.Clone(values)
		default:
			w.answer.Headers[name] = strings.Join(values, ", ")
		}
	}
}

func (w *writer) Write(b []byte) (int, error) {
	if w.answer.StatusCode == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.body = append(w.body, b...)
	return len(b), nil
}
