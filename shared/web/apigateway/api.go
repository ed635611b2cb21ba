package apigateway

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// API is an HTTP API that a request has come through, for tests and samples: what it makes of the request is
// what the one on AWS does, as far as that is documented or was captured.
type API struct {
	Route     string            // that was matched, such as "GET /contacts/{id}"; "" = $default
	Stage     string            // "" = $default; another stands in front of the path too
	Domain    string            // "" = the one that AWS gives
	Claims    map[string]string // of a token that the route's JWT authorizer has verified; nil = it has none
	RequestID string
	Time      time.Time
	Raw       bool // rawPath stays percent-encoded, as a function URL's; an HTTP API decodes it
}

const (
	apiID  = "a1b2c3d4e5"
	domain = apiID + ".execute-api.eu-central-1.amazonaws.com"
)

type document struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  requestContext    `json:"requestContext"`
	PathParameters  map[string]string `json:"pathParameters,omitempty"`
	Body            string            `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	Authorizer   *authorizer `json:"authorizer,omitempty"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         struct {
		Method    string `json:"method"`
		Path      string `json:"path"`
		Protocol  string `json:"protocol"`
		SourceIP  string `json:"sourceIp"`
		UserAgent string `json:"userAgent"`
	} `json:"http"`
	RequestID string `json:"requestId"`
	RouteKey  string `json:"routeKey"`
	Stage     string `json:"stage"`
	Time      string `json:"time"`
	TimeEpoch int64  `json:"timeEpoch"`
}

type authorizer struct {
	JWT struct {
		Claims map[string]string `json:"claims"`
		Scopes any               `json:"scopes"` // null: the route asks for none
	} `json:"jwt"`
}

// Event is the payload that a function gets for r, whose body it reads. It fails if that cannot be read.
func (a API) Event(r *http.Request) ([]byte, error) {
	d := document{Version: "2.0", RouteKey: cmp.Or(a.Route, "$default"), RawQueryString: r.URL.RawQuery, Headers: map[string]string{}}
	d.RawPath = r.URL.Path
	if a.Raw {
		d.RawPath = r.URL.EscapedPath()
	}
	d.PathParameters = a.values(r.URL.EscapedPath())
	if a.Stage != "" && a.Stage != "$default" {
		d.RawPath = "/" + a.Stage + d.RawPath
	}
	for name, values := range r.URL.Query() {
		if d.Query == nil {
			d.Query = map[string]string{}
		}
		d.Query[name] = strings.Join(values, ",")
	}
	c := &d.RequestContext
	c.AccountID, c.APIID, c.RequestID, c.RouteKey, c.Stage = "123456789012", apiID, a.RequestID, d.RouteKey, cmp.Or(a.Stage, "$default")
	c.DomainName = cmp.Or(a.Domain, domain)
	c.DomainPrefix, _, _ = strings.Cut(c.DomainName, ".")
	c.Time, c.TimeEpoch = a.Time.UTC().Format("02/Jan/2006:15:04:05 -0700"), a.Time.UnixMilli()
	c.HTTP.Method, c.HTTP.Path, c.HTTP.Protocol, c.HTTP.UserAgent = r.Method, d.RawPath, r.Proto, r.UserAgent()
	c.HTTP.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	if a.Claims != nil {
		c.Authorizer = &authorizer{}
		c.Authorizer.JWT.Claims = a.Claims
	}
	a.headers(&d, r)
	if err := d.take(r); err != nil {
		return nil, err
	}
	return json.Marshal(&d, json.Deterministic(true), writing)
}

// headers are those of the connection from API Gateway to the caller left out, and its own added.
func (a API) headers(d *document, r *http.Request) {
	for name, values := range r.Header {
		switch {
		case name == "Cookie":
			for _, value := range values {
				d.Cookies = append(d.Cookies, strings.Split(value, "; ")...)
			}
		case !connection[name] || name == "Content-Length":
			d.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	d.Headers["host"] = cmp.Or(r.Host, d.RequestContext.DomainName)
	d.Headers["x-forwarded-for"] = d.RequestContext.HTTP.SourceIP
	d.Headers["x-forwarded-port"] = "443"
	d.Headers["x-forwarded-proto"] = "https"
	d.Headers["x-amzn-trace-id"] = "Root=1-67891233-abcdef012345678912345678"
}

// take reads the body: text of a type that is text stays so.
func (d *document) take(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("apigateway: the request's body: %w", err)
	}
	d.Headers["content-length"] = strconv.Itoa(len(body))
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // "" of what is none
	text := strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "json") || strings.HasSuffix(media, "xml") || strings.HasSuffix(media, "javascript")
	if d.Body = string(body); len(body) > 0 && (!text || !utf8.Valid(body)) {
		d.Body, d.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return nil
}

// values are the path's by the route, decoded.
func (a API) values(path string) map[string]string {
	_, template, _ := strings.Cut(a.Route, " ")
	names, segments := strings.Split(template, "/"), strings.Split(path, "/")
	if len(names) != len(segments) {
		return nil
	}
	var values map[string]string
	for i, name := range names {
		if !strings.HasPrefix(name, "{") {
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[strings.Trim(name, "{}")] = unescape(segments[i], "", nil).Path
	}
	return values
}
