// Package apigatewaytest makes what API Gateway sends to a function, for tests.
package apigatewaytest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// API is an HTTP API that a request has come through. It does what the one on AWS does, as far as that is documented or was
// captured.
type API struct {
	Route  string            // that was matched, such as "GET /contacts/{id}"; "" = $default
	Claims map[string]string // of a token that the route's JWT authorizer has verified; nil = it has none
	Raw    bool              // rawPath stays percent-encoded, as a function URL's; an HTTP API decodes it
}

// RequestID is that of every event.
const RequestID = "JKJaXmPLvHcESHA="

// Event is the payload for r, whose body it reads.
func (a API) Event(t testing.TB, r *http.Request) []byte {
	t.Helper()
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: cmp.Or(a.Route, "$default"), RawPath: r.URL.Path,
		RawQueryString: r.URL.RawQuery, Headers: map[string]string{}, QueryStringParameters: map[string]string{}}
	if a.Raw {
		e.RawPath = r.URL.EscapedPath()
	}
	e.PathParameters = a.values(r.Clone(r.Context()))
	for name, values := range r.URL.Query() {
		e.QueryStringParameters[name] = strings.Join(values, ",")
	}
	at := time.UnixMilli(1583348638390)
	c := &e.RequestContext
	c.AccountID, c.APIID, c.DomainPrefix = "123456789012", "a1b2c3d4e5", "a1b2c3d4e5"
	c.DomainName = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"
	c.RouteKey, c.Stage, c.RequestID = e.RouteKey, "$default", RequestID
	c.Time, c.TimeEpoch = at.UTC().Format("02/Jan/2006:15:04:05 -0700"), at.UnixMilli()
	c.HTTP.Method, c.HTTP.Path, c.HTTP.Protocol, c.HTTP.UserAgent = r.Method, e.RawPath, r.Proto, r.UserAgent()
	c.HTTP.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	if a.Claims != nil {
		c.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
			JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: a.Claims}}
	}
	dropped := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Cookie"}
	for name, values := range r.Header {
		if !slices.Contains(dropped, name) {
			e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	for _, value := range r.Header["Cookie"] {
		e.Cookies = append(e.Cookies, strings.Split(value, "; ")...)
	}
	e.Headers["host"] = cmp.Or(r.Host, c.DomainName)
	e.Headers["x-forwarded-for"], e.Headers["x-forwarded-port"], e.Headers["x-forwarded-proto"] = c.HTTP.SourceIP, "443", "https"
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		e.Headers["content-length"] = strconv.Itoa(len(body))
		media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		text := strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "json") || strings.HasSuffix(media, "xml")
		if e.Body = string(body); len(body) > 0 && (!text || !utf8.Valid(body)) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}
	}
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// values are the path's by the route, decoded; nil = the path is not of the route.
func (a API) values(r *http.Request) (values map[string]string) {
	if a.Route == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc(a.Route, func(_ http.ResponseWriter, r *http.Request) {
		values = map[string]string{}
		for segment := range strings.SplitSeq(a.Route, "/") {
			if name, ok := strings.CutPrefix(segment, "{"); ok {
				name = strings.TrimSuffix(name, "}")
				values[name] = r.PathValue(name)
			}
		}
	})
	mux.ServeHTTP(discard{}, r)
	return values
}

// discard ignores the answer for a path that is not of the route.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
