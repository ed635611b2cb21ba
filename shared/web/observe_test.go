package web

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/sipeat/sipeat/shared/trace"
	"github.com/stretchr/testify/assert"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparentReachesTheHandler(t *testing.T) {
	t.Parallel()
	var got trace.Parent
	router := routed(Function{Name: "f", Route: "GET /f", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = trace.From(r.Context())
	})})
	for header, want := range map[string]trace.Parent{parent: parent, "x": ""} {
		got = ""
		call(router, "GET", "/f", "", "Traceparent: "+header)
		assert.Equal(t, want, got)
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
	}, Options{Logger: quiet(), Observers: []Observer{observer, none}})
	for _, path := range []string{"/f/1", "/panics", "/nothing", "/nowhere"} {
		call(router, "GET", path, "")
	}
	assert.Equal(t, []Answered{
		{Route: "GET /f/{id}", Status: 418}, {Route: "GET /panics", Status: 500}, {Route: "GET /nothing", Status: 200}, {Status: 404},
	}, seen)
}
