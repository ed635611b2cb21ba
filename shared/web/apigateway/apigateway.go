// Package apigateway lets a net/http handler answer behind Amazon API Gateway: an HTTP API that invokes a Lambda function with
// payload format 2.0 (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
//
//	router := web.Router(functions, web.Options{Logger: logger, Guard: apigateway.Guard(samLocal, scopes...), BehindTLS: true})
//	lambda.Start(apigateway.New(router, ""))
//
// What it guarantees:
//
//   - The handler gets method, path, query, headers and body as net/http's server would give them, and its caller the same
//     answer. What API Gateway changes on the way is restored: decoded paths and bodies in base64. Several headers of one name
//     stay joined by commas, which means the same (RFC 9110 section 5.3).
//   - The context ends half a second before the function's or API Gateway's time does, so that there is an answer. A cold start
//     counts for API Gateway and not here.
//   - Another payload is an error, and so is a handler that panics within its answer: API Gateway makes 500 of both. No error
//     contains any part of a payload, and nothing is logged.
//
// It has no CORS (API Gateway answers that, and drops our headers for it), no cookies, no answers that are not text, no stage
// prefixes (the API's stage is $default), no streaming and no payload format 1.0. aws-lambda-go-api-proxy, which does the same
// work, cuts headers at commas within quotes, refuses a path with a stray "%", and accepts any JSON as a request.
package apigateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/web"
)

const (
	longest = 29 * time.Second       // an HTTP API waits 30 s for a function
	margin  = 500 * time.Millisecond // of the function's own time, for the answer
)

// Adapter is a lambda.Handler of github.com/aws/aws-lambda-go. It may be invoked any number of times at once.
type Adapter struct {
	handler  http.Handler
	basePath string
}

// New makes an adapter. basePath is the API mapping of a custom domain, such as "/v1", which no payload has: Location and a
// problem's instance begin with it for callers on that domain. "" = the domain is mapped whole.
func New(handler http.Handler, basePath string) *Adapter {
	if basePath = strings.Trim(basePath, "/ "); basePath != "" {
		basePath = (&url.URL{Path: "/" + basePath}).EscapedPath()
	}
	return &Adapter{handler, basePath}
}

// Function makes an endpoint a Lambda function of its own, which serves its route alone. It reads, for [Guard], JWT_SCOPE (the
// scopes of staff, separated by spaces; none = API Gateway alone checks them) and AWS_SAM_LOCAL, and API_BASE_PATH for [New].
func Function(f web.Function, logger *slog.Logger, getenv func(string) string) *Adapter {
	guard := Guard(getenv("AWS_SAM_LOCAL") == "true", strings.Fields(getenv("JWT_SCOPE"))...)
	return New(web.Router([]web.Function{f}, web.Options{Logger: logger, Guard: guard, BehindTLS: true}), getenv("API_BASE_PATH"))
}

// API Gateway checks neither for repeated names nor for UTF-8, and a header may be Latin-1.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

var errPayload = errors.New("apigateway: the payload is not a request of an API Gateway HTTP API in payload format 2.0: " +
	"check what invokes this function, and PayloadFormatVersion")

// Invoke answers the request in payload. It fails if that is not one, or if there is no whole answer.
func (a *Adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e events.APIGatewayV2HTTPRequest
	if json.Unmarshal(payload, &e, lenient) != nil || e.Version != "2.0" {
		return nil, errPayload
	}
	left := longest
	if deadline, ok := ctx.Deadline(); ok {
		until := time.Until(deadline)
		left = min(left, until-min(margin, until/4))
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if d := e.RequestContext.DomainName; d != "localhost" && !strings.Contains(d, ".execute-api.") { // a custom domain
		ctx = web.WithPrefix(ctx, a.basePath)
	}
	if a := e.RequestContext.Authorizer; a != nil && a.JWT != nil {
		ctx = context.WithValue(ctx, claimsKey{}, a.JWT.Claims)
	}
	request, err := request(ctx, &e)
	if err != nil {
		return nil, err
	}
	w := &writer{header: http.Header{}}
	if err := w.serve(a.handler, request); err != nil {
		return nil, err
	}
	return json.Marshal(w.answer(), lenient)
}
