package web

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// call sends one request through a handler. Headers are "Name: value".
func call(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	return callWith(context.Background(), h, method, target, body, headers...)
}

func callWith(ctx context.Context, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const asJSON = "Content-Type: application/json"

// problemOf checks the common properties of problem responses.
func problemOf(t *testing.T, w *httptest.ResponseRecorder) Problem {
	t.Helper()
	var p Problem
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), w.Body.String())
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), w.Body.String())
	assert.Equal(t, w.Code, p.Status)
	assert.NotEmpty(t, p.Type)
	assert.NotEmpty(t, p.Title)
	assert.NotEmpty(t, p.Detail)
	assert.NotEmpty(t, p.Instance)
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	return p
}

// logged is a logger and what it wrote, one JSON object a line.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), &b
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// accept is a command that records its input and succeeds.
func accept(got *Command[events.Request]) http.Handler {
	return HandleCommand(func(_ context.Context, c Command[events.Request]) (Accepted, error) {
		if got != nil {
			*got = c
		}
		return Accepted{ID: "id/1", EventID: "e1", Topic: "request-created", Partition: 2, Offset: 3}, nil
	})
}

func refuse(err error) http.Handler {
	return HandleCommand(func(context.Context, Command[events.Request]) (Accepted, error) { return Accepted{}, err })
}

func routed(functions ...Function) http.Handler { return Router(functions, Options{Logger: quiet()}) }

func post(h http.Handler) http.Handler {
	return routed(Function{Name: "create-request", Route: "POST /requests", Handler: h})
}
