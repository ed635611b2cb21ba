package program

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

// apiGatewayEvent is what an HTTP API of AWS sends to a function for r, as far as that is documented or was captured. route is
// the one that r matches, such as "GET /contacts/{id}"; "" = $default. r is changed.
func apiGatewayEvent(t *testing.T, r *http.Request, route string, claims map[string]string) []byte {
	t.Helper()
	values := pathValues(r, route)
	if values == nil {
		route = ""
	}
	e := lambda.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: cmp.Or(route, "$default"), RawPath: r.URL.Path,
		RawQueryString: r.URL.RawQuery, Headers: map[string]string{}, PathParameters: values}
	c := &e.RequestContext
	c.DomainName, c.RouteKey, c.Stage = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", e.RouteKey, "$default"
	c.RequestID = "JKJaXmPLvHcESHA="
	c.HTTP.Method, c.HTTP.Path, c.HTTP.Protocol = r.Method, e.RawPath, r.Proto
	c.HTTP.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	c.Authorizer = &lambda.APIGatewayV2HTTPRequestContextAuthorizerDescription{
		JWT: &lambda.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: claims}}
	for _, value := range r.Header["Cookie"] {
		e.Cookies = append(e.Cookies, strings.Split(value, "; ")...)
	}
	dropped := []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Cookie"}
	for name, values := range r.Header {
		if !slices.Contains(dropped, name) {
			e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	e.Headers["host"], e.Headers["x-forwarded-for"] = cmp.Or(r.Host, c.DomainName), c.HTTP.SourceIP
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	e.Headers["content-length"] = strconv.Itoa(len(body))
	if e.Body = string(body); !strings.Contains(r.Header.Get("Content-Type"), "json") || !utf8.Valid(body) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	payload, err := json.Marshal(e)
	require.NoError(t, err)
	return payload
}

// pathValues are the path's by the route, decoded; nil = the path is not of the route.
func pathValues(r *http.Request, route string) (values map[string]string) {
	if route == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc(route, func(_ http.ResponseWriter, r *http.Request) {
		values = map[string]string{}
		for segment := range strings.SplitSeq(route, "/") {
			if name, ok := strings.CutPrefix(segment, "{"); ok {
				name = strings.TrimSuffix(name, "}")
				values[name] = r.PathValue(name)
			}
		}
	})
	mux.ServeHTTP(httptest.NewRecorder(), r)
	return values
}
