package apigateway

import (
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/web/apigateway/apigatewaytest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handlers are ways to answer, each as net/http's server has it.
var handlers = map[string]http.HandlerFunc{
	"nothing":        func(http.ResponseWriter, *http.Request) {},
	"status":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
	"text":           func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>ä") },
	"an empty write": func(w http.ResponseWriter, _ *http.Request) { w.Write(nil) },
	"bytes":          func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("\x1f\x8b\x00\xff")) },
	"no type":        func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; io.WriteString(w, "x") },
	"encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "x")
	},
	"several headers": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Vary"] = []string{"Prefer", "Origin"} },
	"broken headers":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Broken", " a\r\nb ") },
	"cookies": func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "x, y", MaxAge: 7})
	},
	"late headers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Early", "1")
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("X-Early", "2")
		w.Header().Set("X-Late", "1")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "{}")
		io.WriteString(w, "{}")
	},
	"early hints": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
	},
	"no content": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	},
	"not modified": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "7")
		w.WriteHeader(http.StatusNotModified)
	},
	"too much": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
		if _, err := io.WriteString(w, "d"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
	},
	"redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) },
	"connection":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
	"error":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) },
	"what was sent": func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) },
	"not found":     http.NotFound,

	"! panic":          func(http.ResponseWriter, *http.Request) { panic("canary") },
	"! late panic":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); panic("canary") },
	"! abort":          func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"! invalid status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) },
	"! too little": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "ab")
	},
	"! nothing of it": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "3") },
}

// The adapter answers what net/http's server would send; what that would cut off (!) is an error.
func TestAnswersAsAServer(t *testing.T) {
	for name, handler := range handlers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(method+" "+name, func(t *testing.T) {
				if method == "HEAD" && (name == "! too little" || name == "! nothing of it") {
					t.Skip("net/http counts no body of HEAD in the same way; there is none to be cut")
				}
				s := httptest.NewUnstartedServer(handler)
				s.Config.ErrorLog = log.New(io.Discard, "", 0)
				s.Start()
				defer s.Close()
				sent, err := http.NewRequestWithContext(t.Context(), method, s.URL, strings.NewReader("what came"))
				require.NoError(t, err)
				client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
				res, err := client.Do(sent)
				var want []byte
				if err == nil {
					defer res.Body.Close()
					want, err = io.ReadAll(res.Body)
				}
				event := apigatewaytest.API{}.Event(t, httptest.NewRequestWithContext(t.Context(), method, "/",
					strings.NewReader("what came")))
				if strings.HasPrefix(name, "!") {
					require.Error(t, err)
					out, err := New(handler, "").Invoke(t.Context(), event)
					assert.Nil(t, out)
					require.Error(t, err)
					assert.NotContains(t, err.Error(), "canary")
					return
				}
				require.NoError(t, err)
				got := answered(t, New(handler, ""), string(event))
				body := []byte(got.Body)
				if got.IsBase64Encoded {
					body, err = base64.StdEncoding.DecodeString(got.Body)
					require.NoError(t, err)
				}
				assert.Equal(t, res.StatusCode, got.StatusCode)
				assert.Equal(t, string(want), string(body))
				assert.Equal(t, res.Header["Set-Cookie"], got.Cookies)
				headers := map[string]string{}
				for name, values := range res.Header {
					if name != "Set-Cookie" && name != "Date" && name != "Content-Length" {
						headers[name] = strings.Join(values, ", ")
					}
				}
				assert.Equal(t, headers, got.Headers)
			})
		}
	}
}
