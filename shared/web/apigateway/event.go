package apigateway

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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
		Stage      string `json:"stage"`
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

const wanted = "this function takes requests of an API Gateway HTTP API, payload format 2.0"

func (e *event) read(payload []byte) error {
	err := json.Unmarshal(payload, e, reading)
	if err == nil && e.Version == "2.0" && e.RequestContext.HTTP.Method != "" {
		return nil
	}
	return fmt.Errorf("apigateway: %s, and got %s", wanted, came(payload))
}

// came says what a payload is that is no request, in words that have nothing of it but names that AWS gives.
func came(payload []byte) string {
	if len(bytes.TrimSpace(payload)) == 0 {
		return "an empty payload"
	}
	value := jsontext.Value(payload)
	if !value.IsValid(reading) {
		return fmt.Sprintf("%d bytes that are no JSON", len(payload))
	}
	members := map[string]jsontext.Value{}
	if json.Unmarshal(value, &members, reading) != nil || value.Kind() == 'n' {
		return "JSON that is no object; test it with a whole payload, such as those in functions/testdata"
	}
	var version, source string
	_ = json.Unmarshal(members["version"], &version)    // what is no text is not looked at
	_ = json.Unmarshal(members["eventSource"], &source) // nor here
	switch {
	case source == "aws:kafka" || source == "SelfManagedKafka" || source == "aws:SelfManagedKafka":
		return "a batch of Kafka records: its event source mapping belongs to a consumer"
	case version == "2.0":
		return "an event of version 2.0 that is no such request: its requestContext.http.method, or a field of another type, is at fault"
	case version == "1.0", members["httpMethod"] != nil:
		return "a request of payload format 1.0 (a REST API's, a load balancer's, or an HTTP API's whose integration lacks PayloadFormatVersion: \"2.0\")"
	case members["Records"] != nil:
		return "a batch of records of another AWS service: take that trigger away"
	}
	return "an event of another sort: it has no version 2.0; look at what triggers the function"
}

// header is the request's header as net/http has it. Names come in lower case, from `sam local` as they were sent.
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

// remote is the caller's address. There is no port: 0.
func (e *event) remote() string {
	if e.RequestContext.HTTP.SourceIP == "" {
		return ""
	}
	return net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0")
}

func (e *event) claims() *claims { return e.RequestContext.Authorizer.JWT.Claims }

type body struct {
	io.ReadCloser
	length int64
}

func (e *event) body() (body, error) {
	if e.Body == "" {
		return body{http.NoBody, 0}, nil
	}
	if !e.IsBase64Encoded {
		return body{io.NopCloser(strings.NewReader(e.Body)), int64(len(e.Body))}, nil
	}
	b, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return body{}, errors.New("apigateway: the payload's isBase64Encoded is true, and its body is no base64")
	}
	return body{io.NopCloser(bytes.NewReader(b)), int64(len(b))}, nil
}

// announce makes a Content-Length that is there the right one.
func (b body) announce(h http.Header) {
	if h["Content-Length"] != nil {
		h["Content-Length"] = []string{strconv.FormatInt(b.length, 10)}
	}
}
