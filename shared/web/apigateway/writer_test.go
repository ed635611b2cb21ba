package apigateway

import (
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handlers are ways to answer, each as net/http's server has it.
var handlers = map[string]http.HandlerFunc{
	"nothing": func(http.ResponseWriter, *http.Request) {},
	"status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
	"text":    http.NotFound,
	"bytes": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/gzip")
		w.Write([]byte("\x1f\x8b\x00\xff"))
	},
	"several headers": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Vary"] = []string{"Prefer", "Origin"} },
	"cookies": func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "x, y", MaxAge: 7})
	},
	"late headers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("X-Late", "1")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "{}")
		io.WriteString(w, "{}")
	},
	"redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) },
	"connection": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
	"echo": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.Copy(w, r.Body)
	},
	"! panic":      func(http.ResponseWriter, *http.Request) { panic("canary") },
	"! late panic": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); panic("canary") },
	"! abort":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
}

// The adapter answers what net/http's server would send; what that would truncate (!) is an error.
func TestAnswersAsAServer(t *testing.T) {
	for name, handler := range handlers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(method+" "+name, func(t *testing.T) {
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
				event := `{"version":"2.0","requestContext":{"http":{"method":"` + method + `"}},"body":"what came"}`
				if strings.HasPrefix(name, "!") {
					require.Error(t, err)
					out, err := New(handler, "").Invoke(t.Context(), []byte(event))
					assert.Nil(t, out)
					require.Error(t, err)
					assert.NotContains(t, err.Error(), "canary")
					return
				}
				require.NoError(t, err)
				got := answered(t, New(handler, ""), event)
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
