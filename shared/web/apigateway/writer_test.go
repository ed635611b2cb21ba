package apigateway

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  int
		headers map[string]string
		body    string
	}{
		"nothing": {func(http.ResponseWriter, *http.Request) {}, 200, map[string]string{}, ""},
		"status":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, 418, map[string]string{}, ""},
		"text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Vary"] = []string{"Prefer", "Origin"}
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, "{}")
			io.WriteString(w, "{}")
		}, 202, map[string]string{"Vary": "Prefer, Origin"}, "{}{}"},
	} {
		got := answered(t, New(c.handler, ""), payload(""))
		assert.Equal(t, c.status, got.StatusCode, name)
		assert.Equal(t, c.headers, got.Headers, name)
		assert.Equal(t, c.body, got.Body, name)
	}
}

// A response that a panic cuts off is none.
func TestPanics(t *testing.T) {
	for _, panics := range []http.HandlerFunc{
		func(http.ResponseWriter, *http.Request) { panic("canary") },
		func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); panic("canary") },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		out, err := New(panics, "").Invoke(t.Context(), []byte(payload("")))
		assert.Nil(t, out)
		assert.ErrorIs(t, err, errCut)
	}
}
