package apigateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// event is what is read of a payload.
type event struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies"`
	Headers         map[string]string `json:"headers"`
	PathParameters  map[string]string `json:"pathParameters"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		RequestID  string `json:"requestId"`
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
		Authorizer struct {
			JWT struct {
				Claims map[string]string `json:"claims"`
			} `json:"jwt"`
		} `json:"authorizer"`
	} `json:"requestContext"`
}

// request is what net/http would have made of what the caller sent.
func (e *event) request(ctx context.Context) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, errors.New("apigateway: the payload's isBase64Encoded is true, and its body is not base64")
		}
	}
	about := &e.RequestContext
	r, err := http.NewRequestWithContext(ctx, about.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, errPayload
	}
	r.URL, r.Host = e.url(), about.DomainName
	if about.HTTP.SourceIP != "" {
		r.RemoteAddr = net.JoinHostPort(about.HTTP.SourceIP, "0") // there is no port
	}
	for name, value := range e.Headers { // in lower case from API Gateway, from `sam local` as they came
		r.Header.Add(name, value)
	}
	if len(e.Cookies) > 0 { // `sam local` leaves the header in its place too
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	r.Header.Del("Host")              // as net/http does
	r.Header.Del("Transfer-Encoding") // the body is whole
	if r.Header["Content-Length"] != nil {
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return r, nil
}

// url has the path that the route and its values make. rawPath is used for the route $default only, because it may begin with
// the API mapping, and API Gateway decodes it (captured from a live API: https://github.com/hotsock/voker/pull/8), as `sam
// local` does: "/contacts/a/b" may have been "/contacts/a%2Fb".
func (e *event) url() *url.URL {
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
			escaped = url.PathEscape(value)
		}
		u.Path, u.RawPath = u.Path+"/"+value, u.RawPath+"/"+escaped
	}
	return u
}
