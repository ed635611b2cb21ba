// Package apigateway lets a handler of net/http answer behind Amazon API Gateway: an HTTP API that calls a Lambda function
// with payload format 2.0 (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
//
//	router := web.Router(functions, web.Guard(apigateway.Guard(samLocal, scopes...)), web.BehindTLS())
//	lambda.Start(apigateway.New(router))
//
// What it promises:
//
//   - The handler gets the request that net/http's server would give it, and its caller the same answer, byte for byte, headers
//     of the connection aside. What API Gateway changes on the way is put right where that can be: a path that
//     it has decoded, a stage in front of it ([web.ProxyInfo]), cookies, bodies in base64.
//   - What it cannot undo: API Gateway joins several headers of one name by commas. One value with commas means the same as
//     they do (RFC 9110 section 5.3), and package web reads it so. A path shows in Location and problems as it is spelt by
//     this package, where API Gateway has decoded it.
//   - The context ends half a second before the function's time or API Gateway's patience does, so that there is an
//     answer. A handler that ignores it is killed with the function. A cold start counts for API Gateway and not here.
//   - A payload that is something else is an error that says what came, and a handler that panics in the middle of an answer
//     is an error too: API Gateway makes 500 of both. No error has anything of a payload in it, and nothing is logged.
//
// What it is not: no CORS (API Gateway answers that, and drops our headers for it), no streaming, no WebSockets, no payload
// format 1.0. X-Amzn-Trace-Id is ignored; traceparent is a header like any other. aws-lambda-go-api-proxy does the
// same work, and was not taken: it cuts headers at each comma, those within quotes too, refuses a path with a stray "%",
// takes any JSON for a request (a batch of Kafka as GET /), prints to standard output what it could not convert, gives no
// answer for a handler that writes none, and costs over twice as much.
package apigateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/web"
)

const (
	// longest is how long a handler may take: an HTTP API waits 30 s for a function.
	longest = 29 * time.Second
	// margin is kept for the answer when the function's own time runs out.
	margin = 500 * time.Millisecond
)

// Adapter is what [github.com/aws/aws-lambda-go/lambda.Start] takes: a lambda.Handler.
type Adapter struct {
	handler  http.Handler
	basePath string
}

// Option is a choice for [New].
type Option func(*Adapter)

// BasePath names the API mapping of a custom domain, such as "/v1". No payload says it, and without it Location and a
// problem's instance are as if the domain were mapped whole. For those who came by API Gateway's own domain it is nothing.
func BasePath(path string) Option {
	return func(a *Adapter) { a.basePath = cleanPrefix(path) }
}

// New makes an adapter. It may be invoked any number of times at once.
func New(handler http.Handler, options ...Option) *Adapter {
	a := &Adapter{handler: handler}
	for _, option := range options {
		option(a)
	}
	return a
}

var (
	errCut   = errors.New("apigateway: the handler panicked, and what it had answered is not sent; the log says why")
	errShort = errors.New("apigateway: the handler wrote less than it announced in Content-Length; what it wrote is not sent")
)

// What a payload holds comes from anywhere: it is read as leniently as API Gateway wrote it.
var (
	reading = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	writing = json.JoinOptions(jsontext.AllowInvalidUTF8(true)) // a header may be Latin-1
)

// Invoke answers the request in the payload. It fails if that is none, and if there is no whole answer.
func (a *Adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	if err := e.read(payload); err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	request, err := a.request(ctx, &e)
	if err != nil {
		return nil, err
	}
	w := &writer{header: make(http.Header, 12), head: request.Method == http.MethodHead}
	if err := w.serve(a.handler, request); err != nil {
		return nil, err
	}
	return json.Marshal(&w.answer, writing)
}

// bounded ends ctx while there is time to answer.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	left := longest
	if deadline, ok := ctx.Deadline(); ok {
		until := time.Until(deadline)
		left = min(left, until-min(margin, until/4))
	}
	return context.WithTimeout(ctx, left)
}

// request is what net/http would have made of what the caller sent.
func (a *Adapter) request(ctx context.Context, e *event) (*http.Request, error) {
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	u, prefix := a.path(e)
	u.RawQuery = e.RawQueryString
	r := &http.Request{
		Method:        e.RequestContext.HTTP.Method,
		URL:           u,
		Header:        e.header(),
		Host:          e.RequestContext.DomainName,
		RemoteAddr:    e.remote(),
		RequestURI:    u.RequestURI(),
		Body:          body.ReadCloser,
		ContentLength: body.length,
	}
	body.announce(r.Header)
	if host := r.Header["Host"]; host != nil {
		r.Host = host[0]
		delete(r.Header, "Host") // as net/http does
	}
	var ok bool
	r.Proto = e.RequestContext.HTTP.Protocol
	if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(r.Proto); !ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	}
	ctx = web.WithProxyInfo(ctx, web.ProxyInfo{Prefix: prefix, RequestID: e.RequestContext.RequestID})
	if claims := e.claims(); claims != nil {
		ctx = context.WithValue(ctx, claimsKey{}, claims)
	}
	return r.WithContext(ctx), nil
}
