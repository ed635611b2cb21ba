package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func caller(ctx context.Context, _ struct{}) (string, error) { return Caller(ctx), nil }

func panics(with error) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(with) })
}

func things(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = quiet()
	}
	return Router([]Function{
		{Name: "create", Route: "POST /things", Handler: accept(nil)},
		{Name: "list", Route: "GET /things", Staff: true, Handler: HandleQuery(caller)},
		{Name: "get", Route: "GET /things/{id}", Handler: HandleQuery(func(_ context.Context, q byID) (string, error) {
			return q.ID, nil
		})},
		{Name: "boom", Route: "GET /boom", Handler: panics(errors.New("hunter2"))},
		{Name: "late", Route: "GET /late", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			panic("hunter2")
		})},
		{Name: "abort", Route: "GET /abort", Handler: panics(http.ErrAbortHandler)},
		{Name: "silent", Route: "GET /silent", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_ = http.NewResponseController(w).Flush()
		})},
	}, o)
}

func TestRouterAnswersItself(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
		detail         string
	}{
		{"GET", "/nothing", 404, "check its spelling"},
		{"GET", "/", 404, "check its spelling"},
		{"POST", "/things/", 404, "trailing slash"},
		{"PUT", "/things", 405, "header Allow"},
		{"OPTIONS", "/things", 405, "header Allow"},
		{"get", "/things", 405, "header Allow"},
		{"DELETE", "/things/1", 405, "header Allow"},
		{"GET", "//things", 307, "Location"},
		{"POST", "/x/../things?a=1", 307, "Location"},
		{"GET", "/%2e%2e/etc/passwd", 404, "spelling"},
		{"GET", "*", 400, "cannot be routed"},
	} {
		var w *httptest.ResponseRecorder
		if c.target == "*" {
			r := httptest.NewRequest(c.method, "/", nil)
			r.RequestURI, r.URL.Path = "*", "*"
			w = httptest.NewRecorder()
			things(Options{}).ServeHTTP(w, r)
		} else {
			w = call(things(Options{}), c.method, c.target, "")
		}
		require.Equal(t, c.status, w.Code, "%s %s", c.method, c.target)
		assert.Contains(t, problemOf(t, w).Detail, c.detail)
		assert.NotEmpty(t, w.Header().Get("X-Request-Id"))
		assert.Equal(t, c.status == 405, w.Header().Get("Allow") != "")
	}
	w := call(things(Options{}), "POST", "/x/../things?a=1", "")
	assert.Equal(t, "/things?a=1", w.Header().Get("Location"))
	w = call(things(Options{}), "HEAD", "/nothing", "")
	assert.Equal(t, 404, w.Code)
	assert.Zero(t, w.Body.Len())
	w = call(things(Options{}), "GET", "/"+strings.Repeat("é", 500), "")
	assert.LessOrEqual(t, len(problemOf(t, w).Instance), 203)
}

func TestStaff(t *testing.T) {
	w := call(things(Options{}), "GET", "/things", "")
	assert.Equal(t, 403, problemOf(t, w).Status, "closed without a guard")
	assert.Equal(t, 202, call(things(Options{}), "POST", "/things", "{}", asJSON).Code)
	guard := Options{Guard: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer x" {
				w.Header().Set("WWW-Authenticate", "Bearer")
				Problem{Status: 401, Detail: "Send a token."}.Write(w, r)
				return
			}
			next.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), "me")))
		})
	}}
	assert.Equal(t, "Unauthorized", problemOf(t, call(things(guard), "GET", "/things", "")).Title)
	assert.Equal(t, `"me"`, call(things(guard), "GET", "/things", "", "Authorization: Bearer x").Body.String())
}

// The throttle is inside the guard and not around Watch functions; Around is outside everything.
func TestOptionsInOrder(t *testing.T) {
	var asked []string
	guard := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), "me")))
		})
	}
	throttle := func(f Function, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, f.Name+" "+Caller(r.Context()))
			if f.Name == "slow" {
				Problem{Status: 429, Detail: "Slowly."}.Write(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	around := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Around", w.Header().Get("X-Request-Id"))
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	logger, log := logged()
	answer := HandleQuery(caller)
	h := Router(append(Health(), Function{Name: "staff", Route: "GET /staff", Staff: true, Handler: answer},
		Function{Name: "open", Route: "GET /open", Handler: answer}, Function{Name: "slow", Route: "GET /slow", Handler: answer},
		Function{Name: "metrics", Route: "GET /metrics", Watch: true, Handler: answer}),
		Options{Guard: guard, Throttle: throttle, Around: around, BehindTLS: true, Logger: logger})
	for target, status := range map[string]int{"/staff": 200, "/open": 200, "/slow": 429, "/healthz": 200, "/readyz": 200,
		"/metrics": 200, "/nothing": 404} {
		w := call(h, "GET", target, "")
		assert.Equal(t, status, w.Code, target)
		assert.Equal(t, w.Header().Get("X-Request-Id"), w.Header().Get("X-Around"))
		assert.Equal(t, "default-src 'none'; frame-ancestors 'none'", w.Header().Get("Content-Security-Policy"))
		assert.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		assert.Equal(t, "same-origin", w.Header().Get("Cross-Origin-Resource-Policy"))
		assert.Equal(t, "max-age=31536000", w.Header().Get("Strict-Transport-Security"))
	}
	assert.ElementsMatch(t, []string{"staff me", "open ", "slow "}, asked)
	log.Reset()
	assert.Equal(t, 204, call(h, "OPTIONS", "/staff", "").Code)
	assert.Contains(t, log.String(), `"method":"OPTIONS","route":"","status":204`)
	assert.Empty(t, call(things(Options{}), "GET", "/things/1", "").Header().Get("Strict-Transport-Security"))
}

func TestRequestID(t *testing.T) {
	for in, kept := range map[string]bool{"abc-1_.:/+=@Z": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
		"a b": false, "a\nb": false, `a"b`: false, "é": false, "": false} {
		w := call(things(Options{}), "GET", "/things/1", "", "X-Request-Id: "+in)
		id := w.Header().Get("X-Request-Id")
		assert.Equal(t, kept, id == in, in)
		assert.NotEmpty(t, id)
	}
}

func TestPanics(t *testing.T) {
	logger, log := logged()
	h := things(Options{Logger: logger})
	w := call(h, "GET", "/boom", "")
	assert.Equal(t, 500, problemOf(t, w).Status)
	assert.NotContains(t, w.Body.String(), "hunter2")
	assert.NotContains(t, log.String(), "hunter2", "the value of a panic may hold anything")
	assert.Contains(t, log.String(), `"error":"panic: a value of type *errors.errorString","stack":`)
	assert.Contains(t, log.String(), `"level":"ERROR"`)
	assert.Contains(t, log.String(), "router_test.go")
	assert.Contains(t, log.String(), w.Header().Get("X-Request-Id"))

	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { call(h, "GET", "/late", "") }, "half an answer is cut off")
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { call(h, "GET", "/abort", "") })
	assert.Equal(t, 3, strings.Count(log.String(), "\n"), log)
}

// The log has one line per request, without content of the request.
func TestLog(t *testing.T) {
	logger, log := logged()
	h := things(Options{Logger: logger, Guard: func(next http.Handler) http.Handler { return next }})
	call(h, "POST", "/things", `{"name":"canary"}`, asJSON, "Idempotency-Key: canary", "Authorization: canary")
	assert.Regexp(t, `^{"time":"[^"]+","level":"INFO","msg":"request","method":"POST","route":"POST /things","status":202,`+
		`"duration":\d+,"request_id":"\w{26}","event_id":"e1"}\n$`, log.String())
	call(h, "POST", "/things", `{"canary":1}`, asJSON)
	call(h, "POST", "/things", `canary`, asJSON)
	call(h, "GET", "/things/canary?canary=canary", "")
	call(h, "GET", "/things?canary=canary", "")
	call(h, strings.Repeat("X", 5000), "/things", "")
	call(h, "GET", "/silent", "")
	assert.Equal(t, 7, strings.Count(log.String(), "\n"))
	assert.NotContains(t, log.String(), "canary")
	assert.NotContains(t, log.String(), strings.Repeat("X", 17))
	assert.Contains(t, log.String(), `"method":"GET","route":"GET /silent","status":200`)
	log.Reset()
	call(h, "GET", "/nothing/\u009b31m"+strings.Repeat("x", 5000)+"?canary=1", "")
	assert.Contains(t, log.String(), `"route":"","status":404,`)
	assert.Contains(t, log.String(), `"path":"/nothing/%C2%9B31mxxx`)
	assert.Less(t, log.Len(), 500)
	assert.NotContains(t, log.String(), "canary")
}

func TestPrefix(t *testing.T) {
	ctx := WithPrefix(context.Background(), "/prod%20x")
	w := callWith(ctx, post(accept(nil)), "POST", "/requests", "{}", asJSON)
	assert.Equal(t, "/prod%20x/requests/id%2F1", w.Header().Get("Location"))
	w = callWith(ctx, post(accept(nil)), "GET", "/nothing%2F", "")
	assert.Equal(t, "/prod%20x/nothing%2F", problemOf(t, w).Instance)
	w = callWith(ctx, post(accept(nil)), "POST", "/./requests?a=b", "{}", asJSON)
	assert.Equal(t, 307, w.Code)
	assert.Equal(t, "/prod%20x/requests?a=b", w.Header().Get("Location"))
}

// A page is for everybody; the data of the same path stays with Guard.
func TestPage(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) })
	h := Router([]Function{{Name: "view", Route: "GET /view", Staff: true, Page: page, Handler: HandleQuery(caller)}},
		Options{Logger: quiet()})
	for _, accept := range []string{"", "text/html,*/*;q=0.8", "*/*"} {
		w := call(h, "GET", "/view", "", "Accept: "+accept)
		assert.Equal(t, "page", w.Body.String())
		assert.Equal(t, "Accept", w.Header().Get("Vary"))
	}
	for _, accept := range []string{"application/json", "text/html, application/json;q=0.1"} {
		w := call(h, "GET", "/view", "", "Accept: "+accept)
		assert.Equal(t, 403, w.Code, accept)
		assert.Equal(t, "Accept", w.Header().Get("Vary"))
	}
}
