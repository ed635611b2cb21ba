package apigateway

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
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
			Protocol string `json:"protocol"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
		Authorizer struct {
			JWT struct {
				Claims *claims `json:"claims"`
			} `json:"jwt"`
		} `json:"authorizer"`
	} `json:"requestContext"`
}

// url reads a path. API Gateway decodes rawPath, and `sam local` does (captured from a live API:
// https://github.com/hotsock/voker/pull/8), but its documentation has it encoded, and function URLs, which send the same format,
// keep it encoded. So "/contacts/a/b" may be "/contacts/a%2Fb": the route and its decoded values decide. Without them a path
// that can be read as encoded is.
func (e *event) url(raw string) *url.URL {
	plain, escaped, ambiguous := "", "", false
	_, route, _ := strings.Cut(e.RouteKey, " /")
	for segment := range strings.SplitSeq(route, "/") {
		value, coded := segment, segment
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			value = e.PathParameters[strings.TrimSuffix(name, "}")]
			coded = url.PathEscape(value)
			ambiguous = ambiguous || strings.ContainsAny(value, "/%")
		}
		plain, escaped = plain+"/"+value, escaped+"/"+coded
	}
	if plain != raw || !ambiguous {
		var err error
		if plain, err = url.PathUnescape(raw); err != nil {
			return &url.URL{Path: raw}
		}
		escaped = raw
	}
	u := &url.URL{Path: plain}
	if u.EscapedPath() != escaped { // net/url keeps a spelling only where it is not its own
		u.RawPath = escaped
	}
	return u
}

// header is the request's header as net/http has it. API Gateway sends names in lower case, `sam local` as they came.
func (e *event) header() http.Header {
	h := make(http.Header, len(e.Headers)+1)
	for name, value := range e.Headers {
		h.Add(name, value)
	}
	if len(e.Cookies) > 0 { // `sam local` leaves the header in its place too
		h["Cookie"] = []string{strings.Join(e.Cookies, "; ")}
	}
	delete(h, "Transfer-Encoding") // the body is whole
	return h
}

// remote is the caller's address, at port 0: there is none.
func (e *event) remote() string {
	if e.RequestContext.HTTP.SourceIP == "" {
		return ""
	}
	return net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0")
}

// body is the decoded body. It corrects Content-Length where that is there.
func (e *event) body(h http.Header) (io.ReadCloser, int64, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, 0, errors.New("apigateway: the payload's isBase64Encoded is true, and its body is not base64")
		}
	}
	if h["Content-Length"] != nil {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if len(body) == 0 {
		return http.NoBody, 0, nil
	}
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}
