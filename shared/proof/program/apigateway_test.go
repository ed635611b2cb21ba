package program

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/apigateway"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const staffToken = "0123456789abcdef0123456789abcdef"

var quiet = slog.New(slog.DiscardHandler)

// twoWays has all functions twice, on one read model: under our server and under API Gateway. Only the guards differ.
type twoWays struct {
	server    http.Handler
	adapter   *apigateway.Adapter
	functions []web.Function
	routes    *http.ServeMux  // API Gateway's
	project   func(id string) // makes one thing of each type readable

	ids   int   // issued since the last request began
	fault error // of the publisher; errPanic = it panics
}

var errPanic = fmt.Errorf("panic")

func (w *twoWays) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	if w.fault == errPanic { //nolint:errorlint // compared, not looked into
		panic("the publisher")
	}
	return bus.Position{Topic: e.Topic(), Partition: 3, Offset: 41}, w.fault
}

// oddIDs must survive in a path.
var oddIDs = []string{"c-1", "a/b", "100%", "50%ä+?#&=", "%2F", "it's!*()", "彼女"}

func bothWays(t *testing.T) *twoWays {
	t.Helper()
	w := &twoWays{routes: http.NewServeMux()}
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read-model.db"))
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"), time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { claims.Close() })
	now := time.Date(2026, 11, 23, 6, 54, 21, 123e6, time.UTC)
	w.functions = append(commands.Commands{Publisher: w, Events: events.Factory{
		Now:   func() time.Time { return now },
		NewID: func() string { w.ids++; return fmt.Sprintf("0198f1c2-7d3a-7b1e-9c55-%012d", w.ids) },
	}}.Functions(), queries.Queries{Store: store, Claims: claims}.Functions()...)
	require.Len(t, w.functions, 13)
	for _, f := range w.functions {
		w.routes.Handle(f.Route, f.Handler)
	}
	w.project = func(id string) {
		in := consumers.Consumers{Store: store}
		project(t, id, consumers.OnContactCreated{Consumers: in}.Project,
			events.ContactCreated{Contact: Decoded[events.Contact](t, AContact)})
		project(t, id, consumers.OnMachineCreated{Consumers: in}.Project,
			events.MachineCreated{Machine: Decoded[events.Machine](t, aMachine)})
		project(t, id, consumers.OnRequestCreated{Consumers: in}.Project,
			events.RequestCreated{Request: Decoded[events.Request](t, aRequest)})
		project(t, id, (&consumers.OnNotification{Consumers: in}).Project,
			events.Notification{Notice: Decoded[events.Notice](t, aNotification)})
	}
	callers := settings.Web{
		TLSInFront: true,
		Auth:       settings.Auth{Mode: "token", Tokens: [][sha256.Size]byte{sha256.Sum256([]byte(staffToken))}},
	}
	w.server = web.Router(w.functions, gateway.New(callers, quiet, time.Now).Options())
	options := web.Options{Guard: apigateway.Guard(false), Logger: quiet, BehindTLS: true}
	w.adapter = apigateway.New(web.Router(w.functions, options), "")
	return w
}

func project[T events.Payload](t *testing.T, id string, handle func(context.Context, events.Event[T]) error, data T) {
	t.Helper()
	e, err := events.Make(events.Factory{Now: func() time.Time { return time.Unix(1795416861, 0) },
		NewID: func() string { return id }}, data)
	require.NoError(t, err)
	require.NoError(t, handle(t.Context(), e))
}

// exchange is one request.
type exchange struct {
	name    string
	method  string // "" = POST
	path    string // "" = /contacts
	body    string
	headers []string
	fault   error // of the publisher
}

func (x exchange) request() *http.Request {
	r := httptest.NewRequest(cmp.Or(x.method, "POST"), cmp.Or(x.path, "/contacts"), strings.NewReader(x.body))
	r.Header.Set("X-Request-Id", "req-1")
	r.Header.Set("Authorization", "Bearer "+staffToken)
	if x.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range x.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r
}

func contactWith(t *testing.T, field string, value any) string {
	return with(t, AContact, map[string]any{field: value})
}

// exchanges are requests of many kinds to all functions.
func exchanges(t *testing.T, functions []web.Function) []exchange {
	all := []exchange{
		{name: "no JSON", body: `{"name":}`},
		{name: "unknown field", body: contactWith(t, "nmae", "x")},
		{name: "duplicate field", body: strings.Replace(AContact, "{", `{"name":"Bob",`, 1)},
		{name: "wrong type", body: contactWith(t, "name", 7)},
		{name: "not UTF-8", body: strings.Replace(AContact, "Ada", "A\xffa", 1)},
		{name: "key with a space", body: AContact, headers: []string{"Idempotency-Key: a b"}},
		{name: "empty object", body: `{}`},
		{name: "a blank drink", path: "/requests", body: with(t, aRequest, map[string]any{"drinksList": []string{"Mate", ""}})},
		{name: "over 64 KiB", body: contactWith(t, "message", strings.Repeat("x", 64<<10))},
		{name: "a form", body: AContact, headers: []string{"Content-Type: application/x-www-form-urlencoded"}},
		{name: "unknown path", method: "GET", path: "/people"},
		{name: "unknown id", method: "GET", path: "/contacts/nobody"},
		{name: "wrong method", method: "DELETE", path: "/contacts"},
		{name: "faulty filters", method: "GET", path: "/machines?limit=x&since=x"},
		{name: "filter of another list", method: "GET", path: "/contacts?city=Berlin"},
	}
	for _, f := range functions {
		method, path, _ := strings.Cut(f.Route, " ")
		if method == "POST" {
			body := endpoints[slices.IndexFunc(endpoints, func(e endpoint) bool { return e.path == path })].body
			outage := &events.Error{Kind: events.Unavailable, Message: "Kafka is away; try again.", EventID: "e-1",
				RetryAfter: 2 * time.Second}
			all = append(all, exchange{name: "key", path: path, body: body, headers: []string{`Idempotency-Key: "a,b"`}},
				exchange{name: "unicode", path: path, body: with(t, body, map[string]any{"message": "<b>Zoë 🥤 & 彼女</b>\u2028"})},
				exchange{name: "charset", path: path, body: body, headers: []string{`Content-Type: Application/JSON; charset="UTF-8"`}},
				exchange{name: "65536 bytes", path: path, body: body + strings.Repeat(" ", 64<<10-len(body))},
				exchange{name: "outage", path: path, body: body, headers: []string{"Idempotency-Key: k"}, fault: outage},
				exchange{name: "unknown error", path: path, body: body, fault: fmt.Errorf("canary")},
				exchange{name: "panic", path: path, body: body, fault: errPanic})
			continue
		}
		for _, id := range append(oddIDs, "nobody", "a b") {
			all = append(all, exchange{name: id, method: "GET", path: strings.Replace(path, "{id}", url.PathEscape(id), 1)})
		}
		one := strings.Replace(path, "{id}", "c-1", 1)
		for _, query := range []string{"limit=2", "limit=2&limit=3", "city=%20Berlin+&city=", "%zz=1", "a;b=1", "="} {
			all = append(all, exchange{name: query, method: "GET", path: one + "?" + query})
		}
		all = append(all, exchange{name: "waits in vain", method: "GET", path: strings.Replace(path, "{id}", "nobody", 1),
			headers: []string{`Prefer: a="b, wait=0"`}})
	}
	return all
}

// reply is an answer without the headers of its connection.
type reply struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

// served is the server's answer.
func (w *twoWays) served(x exchange) reply {
	w.ids, w.fault = 0, x.fault
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, x.request())
	headers := map[string]string{}
	for name, values := range recorder.Header() {
		if name != "Content-Length" && name != "Connection" {
			headers[name] = strings.Join(values, ", ")
		}
	}
	return reply{recorder.Code, headers, recorder.Body.String()}
}

// invoked is the function's answer to the payload that API Gateway makes of the same request.
func (w *twoWays) invoked(t *testing.T, x exchange) reply {
	t.Helper()
	w.ids, w.fault = 0, x.fault
	r := x.request()
	_, route := w.routes.Handler(r)
	out, err := w.adapter.Invoke(t.Context(), apiGatewayEvent(t, r, route))
	require.NoError(t, err)
	return Decoded[reply](t, string(out))
}

// apiGatewayEvent is what an HTTP API of AWS sends to a function for r, as far as that is documented or was captured. route is
// the one that r matches, such as "GET /contacts/{id}"; "" = $default.
func apiGatewayEvent(t *testing.T, r *http.Request, route string) []byte {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	e := lambda.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: cmp.Or(route, "$default"), RawPath: r.URL.Path,
		RawQueryString: r.URL.RawQuery, Headers: map[string]string{}, Body: string(body)}
	if !utf8.Valid(body) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	if strings.Contains(route, "{id}") {
		id, err := url.PathUnescape(path.Base(r.URL.EscapedPath()))
		require.NoError(t, err)
		e.PathParameters = map[string]string{"id": id}
	}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	c := &e.RequestContext
	c.DomainName, c.RouteKey, c.Stage = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", e.RouteKey, "$default"
	c.HTTP.Method, c.HTTP.Path, c.HTTP.Protocol, c.HTTP.SourceIP = r.Method, e.RawPath, r.Proto, "203.0.113.7"
	c.Authorizer = &lambda.APIGatewayV2HTTPRequestContextAuthorizerDescription{
		JWT: &lambda.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"sub": "staff"}}}
	payload, err := json.Marshal(e)
	require.NoError(t, err)
	return payload
}

// The server and the functions behind API Gateway give the same answers, byte for byte.
func TestAPIGatewayAnswersAsTheServer(t *testing.T) {
	w := bothWays(t)
	for _, id := range oddIDs {
		w.project(id)
	}
	statuses := map[int]int{}
	for _, x := range exchanges(t, w.functions) {
		t.Run(x.path+" "+x.name, func(t *testing.T) {
			want := w.served(x)
			statuses[want.StatusCode]++
			assert.Equal(t, want, w.invoked(t, x))
		})
	}
	for _, status := range []int{200, 202, 400, 404, 405, 413, 415, 422, 500, 503} {
		assert.NotZero(t, statuses[status], "no request was answered with %d", status)
	}
}

// Each function, alone in its Lambda, answers its own sample: name, route and file agree.
func TestSamplesAreAnsweredByTheirFunctions(t *testing.T) {
	w := bothWays(t)
	for _, f := range w.functions {
		payload, err := testdata.Samples.ReadFile(f.Name + ".json")
		require.NoError(t, err, "each function has one real payload: put it there")
		s := Decoded[lambda.APIGatewayV2HTTPRequest](t, string(payload))
		assert.Equal(t, f.Route, s.RouteKey)
		assert.Equal(t, f.Route, s.RequestContext.RouteKey)
		assert.Equal(t, f.Staff, s.RequestContext.Authorizer != nil, "the authorizer guards the routes for staff")
		assert.Equal(t, strings.Contains(f.Route, "{id}"), s.PathParameters != nil)
		if id := s.PathParameters["id"]; id != "" {
			w.project(id)
		}
		options := web.Options{Guard: apigateway.Guard(false, "sipeat/staff"), Logger: quiet}
		adapter := apigateway.New(web.Router([]web.Function{f}, options), "")
		out, err := adapter.Invoke(t.Context(), payload)
		require.NoError(t, err)
		a := Decoded[reply](t, string(out))
		want := http.StatusOK
		if strings.HasPrefix(f.Route, "POST ") {
			want = http.StatusAccepted
			assert.Equal(t, s.RawPath+"/"+Decoded[Accepted](t, a.Body).ID, a.Headers["Location"])
		}
		assert.Equal(t, want, a.StatusCode, "%s: %s", f.Name, a.Body)
		assert.Equal(t, s.RequestContext.RequestID, a.Headers["X-Request-Id"])
	}
}
