package program

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/docs"
	"github.com/sipeat/sipeat/shared/web"
)

var contract = sync.OnceValues(func() (routers.Router, error) {
	functions := slices.Concat(commands.Commands{}.Functions(), queries.Queries{}.Functions(), web.Health())
	document, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI("test", functions))
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(document)
})

// documented returns an error if the answer is not one that the document describes. What is in no document, such as an unknown
// path, is not checked.
func documented(r *http.Request, a Answer) error {
	router, err := contract()
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return nil
	}
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		return nil //nolint:nilerr // a path or method that is not documented
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: parameters},
		Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader([]byte(a.Body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		return fmt.Errorf("%s %s: the answer %d is not as the OpenAPI document says: %w", r.Method, r.URL.Path, a.Status, err)
	}
	return nil
}
