package program

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
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

// twoWays has all functions twice, on one read model: under our server and under API Gateway. Only the guards differ.
type twoWays struct {
	server    http.Handler
	adapter   *apigateway.Adapter
	functions []web.Function
	routes    *http.ServeMux  // API Gateway's
	project   func(id string) // makes one thing of each type readable

	ids       int   // issued since the last request began
	fault     error // of the publisher; errPanic = it panics
	published bool  // since the last request began
}

var errPanic = fmt.Errorf("panic")

func (w *twoWays) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	w.published = true
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
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"))
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
	for _, id := range oddIDs {
		w.project(id)
	}

	quiet := slog.New(slog.DiscardHandler)
	callers := settings.Web{
		TLSInFront: true,
		Auth:       settings.Auth{Mode: "token", Tokens: [][sha256.Size]byte{sha256.Sum256([]byte(staffToken))}},
	}
	w.server = web.Router(w.functions, append(gateway.New(callers, quiet, time.Now).Options(), web.Log(quiet))...)
	w.adapter = apigateway.New(web.Router(w.functions, web.Guard(apigateway.Guard(false)), web.Log(quiet), web.BehindTLS()), "")
	return w
}

func project[T events.Payload](t *testing.T, id string, handle func(context.Context, events.Event[T]) error, data T) {
	t.Helper()
	e, err := events.Make(events.Factory{Now: func() time.Time { return time.Unix(1795416861, 0) },
		NewID: func() string { return id }}, data)
	require.NoError(t, err)
	require.NoError(t, handle(t.Context(), e))
}

// exchanged is one request on the wire.
type exchanged struct {
	name    string
	raw     string
	fault   error    // of the publisher
	refusal *refusal // that must be the answer
}

// wire writes a request. Headers are "Name: value"; "Name: " leaves out a default one.
func wire(method, target, body string, headers ...string) string {
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "X-Request-Id") }) {
		headers = append(headers, "X-Request-Id: req-1")
	}
	if body != "" && !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Content-Type:") }) {
		headers = append(headers, "Content-Type: application/json")
	}
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Transfer-Encoding:") }) {
		headers = append(headers, fmt.Sprint("Content-Length: ", len(body)))
	}
	headers = slices.DeleteFunc(headers, func(h string) bool { return strings.HasSuffix(h, ": ") })
	return method + " " + target + " HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer " + staffToken +
		"\r\nConnection: close\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// exchanges are requests of many kinds to all functions.
func exchanges(t *testing.T, functions []web.Function) (all []exchanged) {
	add := func(name, raw string) { all = append(all, exchanged{name: name, raw: raw}) }
	for _, r := range refusals(t) {
		r.path = cmp.Or(r.path, "/contacts")
		all = append(all, exchanged{name: r.name, raw: wire(cmp.Or(r.method, "POST"), r.path, r.body, r.headers...), refusal: &r})
	}
	for _, f := range functions {
		method, path, _ := strings.Cut(f.Route, " ")
		if method == "POST" {
			body := endpoints[slices.IndexFunc(endpoints, func(e endpoint) bool { return e.path == path })].body
			for _, key := range []string{"k", `"quoted k"`, "a,b", `"a","b"`} {
				add(f.Name+" key "+key, wire(method, path, body, "Idempotency-Key: "+key))
			}
			add(f.Name+" two keys", wire(method, path, body, "Idempotency-Key: a", "Idempotency-Key: b"))
			add(f.Name+" unicode", wire(method, path,
				with(t, body, map[string]any{"message": `<b>Zoë "🥤" O'Neill & 彼女</b>` + "\u2028"})))
			add(f.Name+" empty", wire(method, path, ""))
			add(f.Name+" charset", wire(method, path, body, "Content-Type: Application/JSON; charset=\"UTF-8\""))
			add(f.Name+" chunked", wire(method, path, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), "Transfer-Encoding: chunked"))
			add(f.Name+" 65536 bytes", wire(method, path, body+strings.Repeat(" ", 64<<10-len(body))))
			all = append(all, exchanged{name: f.Name + " outage", raw: wire(method, path, body, "Idempotency-Key: k"),
				fault: &events.Error{Kind: events.Unavailable, Message: "Kafka is away; try again.", EventID: "e-1",
					RetryAfter: 2 * time.Second}},
				exchanged{name: f.Name + " unknown error", raw: wire(method, path, body), fault: fmt.Errorf("canary")},
				exchanged{name: f.Name + " panic", raw: wire(method, path, body), fault: errPanic})
			continue
		}
		for _, id := range append(oddIDs, "nobody", "..", "a b") {
			add(f.Name+" "+id, wire("GET", strings.Replace(path, "{id}", url.PathEscape(id), 1), ""))
		}
		one := strings.Replace(path, "{id}", "c-1", 1)
		for _, query := range []string{"limit=2", "limit=2&limit=3", "limit=1,2", "city=%20Berlin+&city=",
			"since=2026-01-01T00%3A00%3A00%2B00:00", "%zz=1", "a;b=1", "="} {
			add(f.Name+"?"+query, wire("GET", one+"?"+query, ""))
		}
		add(f.Name+" HEAD", wire("HEAD", one, ""))
		add(f.Name+" waits", wire("GET", one, "", "Prefer: respond-async", `Prefer: a="b, wait=0"`, "Prefer: wait=20"))
		add(f.Name+" waits in vain", wire("GET", strings.Replace(path, "{id}", "nobody", 1), "", "Prefer: wait=0", "Prefer: wait=20"))
		add(f.Name+" cookies and trace", wire("GET", one, "", "Cookie: a=1; b=2",
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Amzn-Trace-Id: Root=1-2-3"))
	}
	for _, path := range []string{"//contacts", "/contacts/", "/x/../contacts?limit=1", "/Contacts", "/contacts/a+b"} {
		add("GET "+path, wire("GET", path, ""))
	}
	return all
}

// reply is an answer without the headers of its connection.
type reply struct {
	Status  int
	Headers map[string]string
	Body    string
}

// served is the server's answer, read from the socket.
func (w *twoWays) served(t *testing.T, address string, x exchanged) reply {
	t.Helper()
	w.ids, w.fault, w.published = 0, x.fault, false
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(WaitTimeout)))
	go io.WriteString(c, x.raw) // it may answer before it has all
	method, _, _ := strings.Cut(x.raw, " ")
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		require.NoError(t, err)
		if res.StatusCode >= 200 {
			return reply{res.StatusCode, plain(res.Header), string(body)}
		}
	}
}

func plain(h http.Header) map[string]string {
	headers := map[string]string{}
	for name, values := range h {
		headers[name] = strings.Join(values, ", ")
	}
	maps.DeleteFunc(headers, func(name, _ string) bool { return name == "Date" || name == "Content-Length" || name == "Connection" })
	return headers
}

// invoked is the function's answer to the payload that API Gateway makes of the same bytes.
func (w *twoWays) invoked(t *testing.T, x exchanged) reply {
	t.Helper()
	w.ids, w.fault = 0, x.fault
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(x.raw)))
	require.NoError(t, err)
	r.RemoteAddr = "203.0.113.7:41234"
	_, route := w.routes.Handler(r)
	if route != "" && r.Method == http.MethodHead {
		route = "HEAD " + strings.TrimPrefix(route, "GET ")
	}
	payload := apiGatewayEvent(t, r, route, map[string]string{"sub": "staff", "exp": "1795416861"})
	out, err := w.adapter.Invoke(t.Context(), payload)
	require.NoError(t, err, "%s", payload)
	var a struct {
		StatusCode      int
		Headers         map[string]string
		Cookies         []string
		Body            string
		IsBase64Encoded bool
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&a))
	if a.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(a.Body)
		require.NoError(t, err)
		a.Body = string(body)
	}
	return reply{a.StatusCode, a.Headers, a.Body}
}

// check reads the answer to a refused request.
func (r *refusal) check(t *testing.T, a reply) {
	t.Helper()
	require.Equal(t, r.status, a.Status, a.Body)
	assert.Equal(t, "application/problem+json", a.Headers["Content-Type"])
	p := Decoded[Problem](t, a.Body)
	assert.Equal(t, r.status, p.Status)
	assert.NotEmpty(t, p.Type)
	path, _, _ := strings.Cut(r.path, "?")
	assert.Equal(t, path, p.Instance)
	if r.pointers != nil {
		assert.Equal(t, r.pointers, p.Pointers(), a.Body)
	}
	if r.status == http.StatusMethodNotAllowed {
		assert.Equal(t, "GET, HEAD, POST", a.Headers["Allow"])
	}
	assert.Contains(t, a.Body, r.says)
}

// The server and the functions behind API Gateway give the same answers, byte for byte. A refused request becomes no event.
func TestAPIGatewayAnswersAsTheServer(t *testing.T) {
	w := bothWays(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.Server(w.server, slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	statuses := map[int]int{}
	for _, x := range exchanges(t, w.functions) {
		t.Run(x.name, func(t *testing.T) {
			want := w.served(t, server.Listener.Addr().String(), x)
			statuses[want.Status]++
			if x.refusal != nil {
				x.refusal.check(t, want)
				assert.False(t, w.published)
			}
			assert.Equal(t, want, w.invoked(t, x))
		})
	}
	for _, status := range []int{200, 202, 307, 400, 404, 405, 413, 415, 422, 500, 503} {
		assert.NotZero(t, statuses[status], "no request was answered with %d", status)
	}
}
