package apigateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// answer is what API Gateway takes, in format 2.0.
type answer struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Cookies         []string          `json:"cookies,omitempty"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

var (
	errCut   = errors.New("apigateway: the handler panicked; what it had answered is not sent, and the log says why")
	errShort = errors.New("apigateway: the handler wrote less than its Content-Length; what it wrote is not sent")
)

// writer takes an answer by the rules of net/http's server.
type writer struct {
	header http.Header
	head   bool // of a HEAD request: the body is not sent
	status int  // 0 = not written yet
	length int64
	body   []byte
	answer answer
}

// serve has the handler answer.
func (w *writer) serve(h http.Handler, r *http.Request) (err error) {
	whole := false
	defer func() {
		if !whole {
			_ = recover() // the router has logged it, and the text may have personal data in it
			err = errCut
		}
	}()
	h.ServeHTTP(w, r)
	whole = true
	return w.finish()
}

func (w *writer) Header() http.Header { return w.header }

// connection are the headers that are API Gateway's: it counts the body itself.
var connection = []string{"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade"}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// WriteHeader fixes status and headers: what is set afterwards is not sent.
func (w *writer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", status)) // as net/http does
	}
	if w.status != 0 || status < 200 {
		return
	}
	w.status, w.length = status, -1
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.length = n
	}
	w.answer = answer{StatusCode: status, Headers: make(map[string]string, len(w.header))}
	for name, values := range w.header {
		switch {
		case slices.Contains(connection, name) || strings.HasPrefix(name, http.TrailerPrefix) || len(values) == 0:
		case name == "Set-Cookie": // the one that cannot be joined, RFC 9110 section 5.3
			w.answer.Cookies = values
		default:
			w.answer.Headers[name] = strings.TrimSpace(oneLine.Replace(strings.Join(values, ", ")))
		}
	}
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(b) == 0:
		return 0, nil
	case w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && int64(len(w.body)+len(b)) > w.length:
		return 0, http.ErrContentLength
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *writer) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status == http.StatusNotModified {
		delete(w.answer.Headers, "Content-Type")
	}
	if _, given := w.header["Content-Type"]; !given && len(w.body) > 0 && w.answer.Headers["Content-Encoding"] == "" {
		w.answer.Headers["Content-Type"] = http.DetectContentType(w.body)
	}
	switch {
	case w.head:
	case w.length > int64(len(w.body)) && w.status != http.StatusNotModified:
		return errShort
	case utf8.Valid(w.body):
		w.answer.Body = string(w.body)
	default:
		w.answer.Body, w.answer.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body), true
	}
	return nil
}
