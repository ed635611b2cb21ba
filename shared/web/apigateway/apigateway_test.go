package apigateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
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

// answered is what AWS's own types read of an answer.
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

// seen is the request that a handler gets for a payload, its body read.
func seen(t *testing.T, payload string, options ...Option) (r *http.Request, body string) {
	t.Helper()
	answered(t, New(http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		b, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		r, body = got, string(b)
	}), options...), payload)
	return r, body
}

func payload(fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `{"version":"2.0","requestContext":{"http":{"method":"GET"}}` + fields + `}`
}

func TestRequest(t *testing.T) {
	r, body := seen(t, `{"version":"2.0","routeKey":"POST /contacts","rawPath":"/prod/contacts","rawQueryString":"a=1&a=2&b=%20x+y",
		"cookies":["a=1","b=2"],"queryStringParameters":{"a":"not looked at"},"stageVariables":{"x":"y"},
		"headers":{"host":"api.example.com:8443","content-type":"text/plain","content-length":"999","x-twice":"1,2","X-Sam":"as it came","transfer-encoding":"chunked","cookie":"a=1"},
		"requestContext":{"accountId":"123456789012","domainName":"id.execute-api.eu-central-1.amazonaws.com","stage":"prod","requestId":"JKJaXmPLvHcESHA=",
			"authorizer":null,"http":{"method":"POST","path":"/prod/contacts","protocol":"HTTP/2.0","sourceIp":"2001:db8::1","userAgent":"x"},"timeEpoch":1583348638390},
		"body":"aMOkAA==","isBase64Encoded":true}`)
	assert.Equal(t, "POST", r.Method)
	assert.Equal(t, "/contacts?a=1&a=2&b=%20x+y", r.URL.String())
	assert.Equal(t, r.URL.String(), r.RequestURI)
	assert.Equal(t, "api.example.com:8443", r.Host)
	assert.Equal(t, "[2001:db8::1]:0", r.RemoteAddr)
	assert.True(t, r.ProtoAtLeast(2, 0))
	assert.Equal(t, "hä\x00", body)
	assert.EqualValues(t, 4, r.ContentLength)
	assert.Equal(t, http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"4"}, "X-Twice": {"1,2"}, "X-Sam": {"as it came"}, "Cookie": {"a=1; b=2"}}, r.Header)
	assert.Len(t, r.Cookies(), 2)
	assert.Error(t, r.Context().Err(), "the context ends with the request")

	r, body = seen(t, payload(`"rawPath":"","cookies":null,"headers":null,"body":null`))
	assert.Equal(t, []any{"GET", "/", "HTTP/1.1", "", "", int64(0)}, []any{r.Method, r.URL.String(), r.Proto, r.RemoteAddr, body, r.ContentLength})
	assert.Equal(t, http.NoBody, r.Body)
}

func TestPath(t *testing.T) {
	const one, execute, own = "GET /contacts/{id}", "id.execute-api.eu-central-1.amazonaws.com", "api.example.com"
	for _, c := range []struct {
		raw, route, id, stage, domain string
		path, asked                   string // as routes match it; as the caller sent it
	}{
		{"/contacts", "GET /contacts", "", "$default", execute, "/contacts", "/contacts"},
		{"/prod/contacts", "GET /contacts", "", "prod", execute, "/contacts", "/prod/contacts"},
		{"/prod/prod/contacts", "GET /contacts", "", "prod", execute, "/prod/contacts", "/prod/prod/contacts"},
		{"/prod", "$default", "", "prod", execute, "/", "/prod/"},
		{"/production/contacts", "$default", "", "prod", execute, "/production/contacts", "/production/contacts"},
		{"/contacts", "GET /contacts", "", "prod", execute, "/contacts", "/contacts"},
		{"/prod/contacts", "GET /contacts", "", "", "", "/prod/contacts", "/v1/prod/contacts"},
		// a custom domain: its mapping is not in rawPath, the stage is
		{"/prod/contacts", "GET /contacts", "", "prod", own, "/contacts", "/v1/contacts"},
		{"/contacts", "GET /contacts", "", "$default", own, "/contacts", "/v1/contacts"},
		{"/v1/contacts", "GET /contacts", "", "$default", own, "/contacts", "/v1/contacts"},
		{"/prod/contacts", "GET /contacts", "", "prod", "localhost", "/contacts", "/prod/contacts"},
		// as API Gateway decodes it
		{"/contacts/a/b", one, "a/b", "", execute, "/contacts/a%2Fb", "/contacts/a%2Fb"},
		{"/prod/contacts/a/b", one, "a/b", "prod", execute, "/contacts/a%2Fb", "/prod/contacts/a%2Fb"},
		{"/contacts/100%", one, "100%", "", execute, "/contacts/100%25", "/contacts/100%25"},
		{"/contacts/a%2Fb", one, "a%2Fb", "", execute, "/contacts/a%252Fb", "/contacts/a%252Fb"},
		{"/contacts/ä ?#+", one, "ä ?#+", "", execute, "/contacts/%C3%A4%20%3F%23+", "/contacts/%C3%A4%20%3F%23+"},
		{"/contacts/100%", "$default", "", "", execute, "/contacts/100%25", "/contacts/100%25"},
		{"/x/y/z%", "GET /x/{rest+}", "y/z%", "", execute, "/x/y/z%25", "/x/y/z%25"},
		// as the documentation has it, and function URLs
		{"/contacts/a%2Fb", one, "a/b", "", execute, "/contacts/a%2Fb", "/contacts/a%2Fb"},
		{"/contacts/a%2fb", "$default", "", "", execute, "/contacts/a%2fb", "/contacts/a%2fb"},
		{"/contacts/a%252Fb", "$default", "", "", execute, "/contacts/a%252Fb", "/contacts/a%252Fb"},
		{"/contacts/it's!*()", one, "it's!*()", "", execute, "/contacts/it's!*()", "/contacts/it's!*()"},
		{"//evil.example/..", "$default", "", "", execute, "//evil.example/..", "//evil.example/.."},
		{"contacts", "$default", "", "", execute, "/contacts", "/contacts"},
		{"*", "$default", "", "", execute, "/*", "/*"},
		{"/contacts/x", one + "/{missing}", "x", "", execute, "/contacts/x", "/contacts/x"},
	} {
		name := "id"
		if strings.HasSuffix(c.route, "+}") {
			name = "rest"
		}
		e := map[string]any{"version": "2.0", "routeKey": c.route, "rawPath": c.raw, "requestContext": map[string]any{"stage": c.stage, "domainName": c.domain, "http": map[string]string{"method": "GET"}}}
		if c.id != "" {
			e["pathParameters"] = map[string]string{name: c.id}
		}
		b, err := json.Marshal(e)
		require.NoError(t, err)
		r, _ := seen(t, string(b), BasePath("v1/"))
		assert.Equal(t, c.path, r.URL.EscapedPath(), c)

		w := httptest.NewRecorder()
		web.Problem{Status: 404}.Write(w, r)
		assert.Contains(t, w.Body.String(), `"instance":"`+c.asked+`"`, c)
		if c.domain == own {
			r, _ := seen(t, string(b), BasePath(" / "))
			w := httptest.NewRecorder()
			web.Problem{Status: 404}.Write(w, r)
			assert.Contains(t, w.Body.String(), `"instance":"`+strings.TrimPrefix(c.raw, "/prod")+`"`, "a mapping of the whole domain")
		}
	}
}

func TestForeignPayloads(t *testing.T) {
	h := New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	for payload, says := range map[string]string{
		"": "empty", "canary": "6 bytes that are no JSON", `{"version":"2.0"`: "no JSON", `null`: "no object", `"canary"`: "no object", `[]`: "no object", `{}`: "another sort",
		`{"canary":"2.0"}`: "another sort",
		`{"version":"1.0","httpMethod":"GET","path":"/canary","requestContext":{}}`:            "PayloadFormatVersion",
		`{"httpMethod":"GET","path":"/canary","requestContext":{"elb":{}}}`:                    "load balancer",
		`{"eventSource":"aws:kafka","records":{"canary-0":[]}}`:                                "Kafka",
		`{"eventSource":"SelfManagedKafka","records":{"canary-0":[]}}`:                         "Kafka",
		`{"Records":[{"eventSource":"aws:sqs","body":"canary"}]}`:                              "another AWS service",
		`{"version":"2.0","rawPath":"/canary"}`:                                                "requestContext.http.method",
		`{"version":"2.0","rawPath":{"canary":1},"requestContext":{"http":{"method":"GET"}}}`:  "of another type",
		`{"version":"2.0","headers":["canary"],"requestContext":{"http":{"method":"GET"}}}`:    "of another type",
		`{"version":"0","source":"aws.events","detail-type":"canary"}`:                         "another sort",
		`{"version":7,"eventSource":{},"detail-type":"canary"}`:                                "another sort",
		payload(`"body":"canary!","isBase64Encoded":true`):                                     "base64",
		`{"version":"2.0","requestContext":{"http":{"method":"GET"},"authorizer":["canary"]}}`: "of another type",
	} {
		out, err := h.Invoke(t.Context(), []byte(payload))
		assert.Nil(t, out, payload)
		if assert.ErrorContains(t, err, says, payload) {
			assert.NotContains(t, err.Error(), "canary")
		}
	}
	_, err := h.Invoke(t.Context(), []byte(`{}`))
	assert.ErrorContains(t, err, "payload format 2.0", "it says what is wanted")
}

// What AWS's own types call a request is what [API.Event] makes, each field of it.
func TestEventIsAWSs(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/contacts/a%2Fb%20c?x=1&x=%202&y=", strings.NewReader("\x00\xff"))
	r.Header = http.Header{"Cookie": {"a=1; b=2", "c=3"}, "Accept": {"text/html", "*/*"}, "Connection": {"close"}, "User-Agent": {"test"}}
	r.RemoteAddr = "[2001:db8::1]:7"
	b, err := API{Route: "POST /contacts/{id}", Stage: "prod", Claims: map[string]string{"sub": "ada"}, RequestID: "id", Time: time.UnixMilli(1583348638390)}.Event(r)
	require.NoError(t, err)
	var e events.APIGatewayV2HTTPRequest
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&e), "%s", b)
	want := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /contacts/{id}", RawPath: "/prod/contacts/a/b c", RawQueryString: "x=1&x=%202&y=", Cookies: []string{"a=1", "b=2", "c=3"},
		Headers: map[string]string{"accept": "text/html,*/*", "content-length": "2", "host": "example.com", "user-agent": "test", "x-amzn-trace-id": e.Headers["x-amzn-trace-id"],
			"x-forwarded-for": "2001:db8::1", "x-forwarded-port": "443", "x-forwarded-proto": "https"},
		QueryStringParameters: map[string]string{"x": "1, 2", "y": ""}, PathParameters: map[string]string{"id": "a/b c"}, Body: "AP8=", IsBase64Encoded: true,
	}
	want.RequestContext = events.APIGatewayV2HTTPRequestContext{
		RouteKey: want.RouteKey, AccountID: "123456789012", Stage: "prod", RequestID: "id", APIID: apiID, DomainName: domain, DomainPrefix: apiID,
		Time: "04/Mar/2020:19:03:58 +0000", TimeEpoch: 1583348638390,
		Authorizer: &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"sub": "ada"}}},
		HTTP:       events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: "POST", Path: want.RawPath, Protocol: "HTTP/1.1", SourceIP: "2001:db8::1", UserAgent: "test"},
	}
	assert.Equal(t, want, e)
}

// The samples are such requests too, to the letter.
func TestSamplesAreAWSs(t *testing.T) {
	files, err := filepath.Glob("../../../functions/testdata/*-*.json")
	require.NoError(t, err)
	requests := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		var e events.APIGatewayV2HTTPRequest
		if json.Unmarshal(b, &e) != nil || e.Version != "2.0" {
			continue // of a consumer
		}
		requests++
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		assert.NoError(t, d.Decode(&e), file)
		assert.Equal(t, e.RequestContext.TimeEpoch/1000, must(time.Parse("02/Jan/2006:15:04:05 -0700", e.RequestContext.Time)).Unix(), file)
		if length := e.Headers["content-length"]; length != "" {
			assert.Equal(t, strconv.Itoa(len(e.Body)), length, file)
		}
	}
	assert.NotZero(t, requests)
}

func must(at time.Time, err error) time.Time {
	if err != nil {
		panic(err)
	}
	return at
}

func TestDeadline(t *testing.T) {
	for _, c := range []struct{ given, want time.Duration }{
		{0, 29 * time.Second}, {15 * time.Minute, 29 * time.Second}, {10 * time.Second, 9500 * time.Millisecond}, {time.Second, 750 * time.Millisecond}, {-time.Second, -750 * time.Millisecond},
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
			router := web.Router([]web.Function{{Name: "slow", Route: "GET /", Handler: slow}}, web.Log(slog.New(slog.DiscardHandler)))
			out, err := New(router).Invoke(ctx, []byte(payload("")))
			assert.NoError(t, err)
			assert.Contains(t, string(out), `"statusCode":503`)
			assert.Equal(t, max(0, c.want), time.Since(start))
		})
	}
}

func FuzzInvoke(f *testing.F) {
	for _, seed := range []string{"", "null", payload(""), payload(`"rawPath":"/%zz","rawQueryString":"%","headers":{"":""},"cookies":[""]`), payload(`"routeKey":"GET /contacts/{id}","rawPath":"/contacts/%","pathParameters":{"id":"%"}`),
		`{"version":"2.0","rawPath":"//","requestContext":{"http":{"method":"\u0000 ","protocol":"HTTP/9.9","sourceIp":"[::"},"stage":"/","domainName":"x"}}`,
		`{"version":"2.0","requestContext":{"http":{"method":"CONNECT"},"authorizer":{"jwt":{"claims":{"sub":7,"scope":"["}}}}}`} {
		f.Add([]byte(seed))
	}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.String())
		_, _ = io.Copy(w, r.Body)
	})
	router := New(web.Router([]web.Function{
		{Name: "one", Route: "GET /contacts/{id}", Handler: echo, Staff: true}, {Name: "all", Route: "POST /contacts", Handler: echo},
	}, web.Guard(Guard(false, "staff")), web.Log(slog.New(slog.DiscardHandler))), BasePath("/v1"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := router.Invoke(t.Context(), payload)
		if (out == nil) == (err == nil) || err == nil && !json.Valid(out) {
			t.Fatalf("%q: %q %v", payload, out, err)
		}
	})
}
