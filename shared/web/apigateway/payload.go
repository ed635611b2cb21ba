package apigateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// request has what our handlers use of the caller's request. Its X-Request-Id is API Gateway's unless the caller sent one.
func request(ctx context.Context, e *events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, errors.New("apigateway: the payload's isBase64Encoded is true, and its body is not base64")
		}
	}
	r, err := http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil || e.RequestContext.HTTP.Method == "" {
		return nil, errPayload
	}
	r.URL = pathOf(e)
	for name, value := range e.Headers { // in lower case from API Gateway, from `sam local` as they came
		r.Header.Add(name, value)
	}
	r.Header.Set("X-Request-Id", cmp.Or(r.Header.Get("X-Request-Id"), e.RequestContext.RequestID))
	return r, nil
}

// pathOf has the path that the route and its values make. rawPath is used for the route $default only, because it may begin with
// the API mapping, and API Gateway decodes it (captured from a live API: https://github.com/hotsock/voker/pull/8), as `sam
// local` does: "/contacts/a/b" may have been "/contacts/a%2Fb".
func pathOf(e *events.APIGatewayV2HTTPRequest) *url.URL {
	u := &url.URL{RawQuery: e.RawQueryString}
	_, route, found := strings.Cut(e.RouteKey, " /")
	if !found {
		u.Path = "/" + strings.TrimPrefix(e.RawPath, "/")
		return u
	}
	for segment := range strings.SplitSeq(route, "/") {
		value, escaped := segment, segment
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			value = e.PathParameters[strings.TrimSuffix(name, "}")]
			if escaped = url.PathEscape(value); value == "." || value == ".." { // a router would resolve it
				escaped = strings.ReplaceAll(value, ".", "%2E")
			}
		}
		u.Path, u.RawPath = u.Path+"/"+value, u.RawPath+"/"+escaped
	}
	return u
}

type answer struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

var errCut = errors.New("apigateway: the handler panicked; its response is not sent, see the log")

// writer accepts the response of a router, which sets its headers before it writes.
type writer struct {
	header http.Header
	status int // 0 = 200
	body   bytes.Buffer
}

func (w *writer) serve(h http.Handler, r *http.Request) (err error) {
	err = errCut                     //nolint:wastedassign // the result after a panic
	defer func() { _ = recover() }() // the router has logged it, and the text may have personal data in it
	h.ServeHTTP(w, r)
	return nil
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = cmp.Or(w.status, status) }
func (w *writer) Write(b []byte) (int, error) { return w.body.Write(b) }

func (w *writer) answer() *answer {
	a := &answer{cmp.Or(w.status, http.StatusOK), map[string]string{}, w.body.String()}
	for name, values := range w.header {
		a.Headers[name] = strings.Join(values, ", ")
	}
	delete(a.Headers, "Content-Length") // API Gateway's own
	return a
}
