package apigateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ lambda.Handler = (*Adapter)(nil)

// answered is a response as decoded by AWS's own types.
func answered(t testing.TB, a *Adapter, payload string) events.APIGatewayV2HTTPResponse {
	t.Helper()
	out, err := a.Invoke(t.Context(), []byte(payload))
	require.NoError(t, err)
	var response events.APIGatewayV2HTTPResponse
	d := json.NewDecoder(strings.NewReader(string(out)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&response), "%s", out)
	return response
}

// seen returns the request that a handler gets for a payload, and its body.
func seen(t *testing.T, payload, basePath string) (r *http.Request, body string) {
	t.Helper()
	answered(t, New(http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		b, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		r, body = got, string(b)
	}), basePath), payload)
	return r, body
}

func payload(fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `{"version":"2.0","requestContext":{"http":{"method":"GET"}}` + fields + `}`
}

func TestRequest(t *testing.T) {
	r, body := seen(t, `{"version":"2.0","routeKey":"POST /contacts","rawPath":"/contacts","rawQueryString":"a=1&a=2&b=%20x+y",
		"queryStringParameters":{"a":"not looked at"},"stageVariables":{"x":"y"},
		"headers":{"content-type":"text/plain","x-twice":"1,2","X-Sam":"as it came"},
		"requestContext":{"accountId":"123456789012","domainName":"id.execute-api.eu-central-1.amazonaws.com","stage":"$default",
		"requestId":"JKJaXmPLvHcESHA=","http":{"method":"POST"}},"body":"aMOkAA==","isBase64Encoded":true}`, "")
	assert.Equal(t, "POST", r.Method)
	assert.Equal(t, "/contacts?a=1&a=2&b=%20x+y", r.URL.String())
	assert.Equal(t, "hä\x00", body)
	assert.Equal(t, http.Header{"Content-Type": {"text/plain"}, "X-Twice": {"1,2"}, "X-Sam": {"as it came"},
		"X-Request-Id": {"JKJaXmPLvHcESHA="}}, r.Header)
	assert.Error(t, r.Context().Err(), "the context ends with the request")

	r, body = seen(t, payload(`"rawPath":"","headers":{"X-Request-ID":"mine"},"body":null`), "")
	assert.Equal(t, []string{"GET", "/", "", "mine"}, []string{r.Method, r.URL.String(), body, r.Header.Get("X-Request-Id")})
}

// API Gateway decodes rawPath and may put the API mapping of a custom domain before it; the route and its values decide.
func TestPath(t *testing.T) {
	const one, execute, own = "GET /contacts/{id}", "id.execute-api.eu-central-1.amazonaws.com", "api.example.com"
	for _, c := range []struct {
		raw, route, id, domain string
		path, instance         string // as routes match it; as the caller sent it
	}{
		{"/contacts", "GET /contacts", "", execute, "/contacts", "/contacts"},
		{"", "$default", "", execute, "/", "/"},
		{"/contacts", "GET /contacts", "", own, "/contacts", "/v1/contacts"},
		{"/v1/contacts", "GET /contacts", "", own, "/contacts", "/v1/contacts"},
		{"/contacts", "GET /contacts", "", "localhost", "/contacts", "/contacts"},
		{"/contacts/a/b", one, "a/b", execute, "/contacts/a%2Fb", "/contacts/a%2Fb"},
		{"/contacts/a%2Fb", one, "a/b", execute, "/contacts/a%2Fb", "/contacts/a%2Fb"},
		{"/v1/contacts/a/b", one, "a/b", own, "/contacts/a%2Fb", "/v1/contacts/a%2Fb"},
		{"/contacts/100%", one, "100%", execute, "/contacts/100%25", "/contacts/100%25"},
		{"/contacts/ä ?#+", one, "ä ?#+", execute, "/contacts/%C3%A4%20%3F%23+", "/contacts/%C3%A4%20%3F%23+"},
		{"/contacts/..", one, "..", execute, "/contacts/%2E%2E", "/contacts/%2E%2E"},
		{"/contacts/a.b", one, "a.b", execute, "/contacts/a.b", "/contacts/a.b"},
		{"/contacts/100%", "$default", "", execute, "/contacts/100%25", "/contacts/100%25"},
		{"//evil.example/..", "$default", "", execute, "//evil.example/..", "//evil.example/.."},
	} {
		e := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: c.route, RawPath: c.raw,
			PathParameters: map[string]string{"id": c.id}}
		e.RequestContext.DomainName, e.RequestContext.HTTP.Method = c.domain, "GET"
		b, err := json.Marshal(e)
		require.NoError(t, err)
		r, _ := seen(t, string(b), "v1/")
		assert.Equal(t, c.path, r.URL.EscapedPath(), c)
		w := httptest.NewRecorder()
		web.Problem{Status: 404}.Write(w, r)
		assert.Contains(t, w.Body.String(), `"instance":"`+c.instance+`"`, c)
	}
}

func TestForeignPayloads(t *testing.T) {
	h := New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }), "")
	for _, payload := range []string{"", "canary", `{"version":"2.0"`, `null`, `"canary"`, `[]`, `{}`, `{"canary":"2.0"}`,
		`{"version":"1.0","httpMethod":"GET","path":"/canary","requestContext":{}}`,
		`{"eventSource":"aws:kafka","records":{"canary-0":[]}}`,
		`{"version":"2.0","rawPath":"/canary"}`,
		`{"version":"2.0","rawPath":{"canary":1},"requestContext":{"http":{"method":"GET"}}}`,
		`{"version":"2.0","headers":["canary"],"requestContext":{"http":{"method":"GET"}}}`,
		`{"version":"2.0","requestContext":{"http":{"method":"GET"},"authorizer":["canary"]}}`,
		payload(`"body":"canary!","isBase64Encoded":true`)} {
		out, err := h.Invoke(t.Context(), []byte(payload))
		assert.Nil(t, out, payload)
		if assert.Error(t, err, payload) {
			assert.NotContains(t, err.Error(), "canary")
		}
	}
	_, err := h.Invoke(t.Context(), []byte(`{}`))
	assert.ErrorContains(t, err, "payload format 2.0", "it names the expected format")
}

func TestDeadline(t *testing.T) {
	for _, c := range []struct{ given, want time.Duration }{
		{0, 29 * time.Second}, {15 * time.Minute, 29 * time.Second}, {10 * time.Second, 9500 * time.Millisecond}, {time.Second,
			750 * time.Millisecond}, {-time.Second, -750 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, start := t.Context(), time.Now()
			if c.given != 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.given)
				defer cancel()
			}
			slow := web.HandleQuery(func(ctx context.Context, _ struct{}) (string, error) {
				deadline, ok := ctx.Deadline()
				assert.True(t, ok)
				assert.LessOrEqual(t, deadline.Sub(start), c.want)
				<-ctx.Done()
				return "", ctx.Err()
			})
			router := web.Router([]web.Function{{Name: "slow", Route: "GET /", Handler: slow}},
				web.Options{Logger: slog.New(slog.DiscardHandler)})
			out, err := New(router, "").Invoke(ctx, []byte(payload("")))
			assert.NoError(t, err)
			assert.Contains(t, string(out), `"statusCode":503`)
			assert.Equal(t, max(0, c.want), time.Since(start))
		})
	}
}

// Whatever the payload, the result is a JSON answer or an error.
func FuzzInvoke(f *testing.F) {
	for _, seed := range []string{"", "null", payload(`"rawPath":"/%zz","rawQueryString":"%","headers":{"":""}`),
		payload(`"routeKey":"GET /contacts/{id}","rawPath":"/contacts/%","pathParameters":{"id":"%"}`),
		`{"version":"2.0","rawPath":"//","requestContext":{"http":{"method":"\u0000 "},"domainName":"x"}}`,
		`{"version":"2.0","requestContext":{"http":{"method":"CONNECT"},"authorizer":{"jwt":{"claims":{"sub":7,"scope":"["}}}}}`} {
		f.Add([]byte(seed))
	}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.String())
		_, _ = io.Copy(w, r.Body)
	})
	router := New(web.Router([]web.Function{{Name: "one", Route: "GET /contacts/{id}", Handler: echo, Staff: true}},
		web.Options{Guard: Guard(false, "staff"), Logger: slog.New(slog.DiscardHandler)}), "/v1")
	f.Fuzz(func(t *testing.T, payload []byte) {
		if out, err := router.Invoke(t.Context(), payload); (out == nil) == (err == nil) || err == nil && !json.Valid(out) {
			t.Fatalf("%q: %q %v", payload, out, err)
		}
	})
}
