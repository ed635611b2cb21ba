package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sipeat/sipeat/shared/trace"
	"github.com/stretchr/testify/assert"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparentReachesTheHandler(t *testing.T) {
	t.Parallel()
	var got trace.Parent
	router := Router([]Function{{Name: "f", Route: "GET /f", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = trace.From(r.Context())
	})}})
	for _, c := range []struct {
		headers []string
		want    trace.Parent
	}{{nil, ""}, {[]string{parent}, parent}, {[]string{parent, parent}, ""}, {[]string{"x"}, ""}} {
		r := httptest.NewRequest(http.MethodGet, "/f", nil)
		r.Header[traceparent] = c.headers
		got = ""
		router.ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, c.want, got, "%v", c.headers)
	}
}

type observedKey struct{}

func TestObserversSeeEveryAnswer(t *testing.T) {
	t.Parallel()
	var seen []Answered
	observer := func(ctx context.Context, _ *http.Request) (context.Context, func(Answered)) {
		return context.WithValue(ctx, observedKey{}, true), func(a Answered) {
			assert.NotZero(t, a.Took)
			a.Took = 0
			seen = append(seen, a)
		}
	}
	none := func(ctx context.Context, _ *http.Request) (context.Context, func(Answered)) { return ctx, nil }
	router := Router([]Function{
		{Name: "f", Route: "GET /f/{id}", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, true, r.Context().Value(observedKey{}))
			w.WriteHeader(http.StatusTeapot)
		})},
		{Name: "panics", Route: "GET /panics", Handler: panics(errors.New("x"))},
		{Name: "nothing", Route: "GET /nothing", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
	}, Observe(observer), Observe(none))
	for _, path := range []string{"/f/1", "/panics", "/nothing", "/nowhere"} {
		router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	assert.Equal(t, []Answered{
		{Route: "GET /f/{id}", Status: 418}, {Route: "GET /panics", Status: 500}, {Route: "GET /nothing", Status: 200}, {Status: 404},
	}, seen)
}
