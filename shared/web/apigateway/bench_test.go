package apigateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/web/apigateway/apigatewaytest"
)

const benchBody = `{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}`

// BenchmarkInvoke is what the adapter costs beside a handler that does nearly nothing.
func BenchmarkInvoke(b *testing.B) {
	answer := []byte(`{"id":"0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d","eventId":"0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4e",` +
		`"topic":"request-created","partition":1,"offset":12345}`)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(answer)
	})
	request := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/contacts", strings.NewReader(benchBody))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"*/*"}, "User-Agent": {"curl/8.14.1"}}
		return r
	}
	b.Run("adapter", func(b *testing.B) {
		payload := apigatewaytest.API{Route: "POST /contacts"}.Event(b, request())
		adapter := New(handler, "")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := adapter.Invoke(context.Background(), payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("handler", func(b *testing.B) {
		r := request()
		b.ReportAllocs()
		for b.Loop() {
			r.Body = io.NopCloser(strings.NewReader(benchBody))
			handler.ServeHTTP(&writer{header: http.Header{}}, r)
		}
	})
}
