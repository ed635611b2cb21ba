package docs

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/sipeat/sipeat/shared/web"
)

//go:embed page.css
var style string

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"upper": strings.ToUpper, "json": func(v any) string { return string(render(v)) }, "value": describeType, "resolve": resolve,
	"contains": func(list []any, name string) bool { return slices.Contains(list, any(name)) },
}).Parse(pageText))

// Functions are the endpoints of the documents: /openapi.json, /asyncapi.json, and /docs, a page that shows both. documents is
// called once, at the first request: most servers are never asked for them.
func Functions(documents func() (openAPI, asyncAPI []byte)) []web.Function {
	written := sync.OnceValue(func() [3][]byte {
		openAPI, asyncAPI := documents()
		return [...][]byte{openAPI, asyncAPI, showPage(openAPI, asyncAPI)}
	})
	policy := "default-src 'none'; frame-ancestors 'none'; style-src " + web.InPage(style)
	serve := func(document int, name, path, summary, contentType string) web.Function {
		return web.Function{Name: name, Route: "GET " + path, Summary: summary, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.Header().Set("Content-Security-Policy", policy)
				_, _ = w.Write(written()[document]) // it fails only when the client has gone
			})}
	}
	return []web.Function{
		serve(0, "openapi", "/openapi.json", "Read the OpenAPI document.", "application/json"),
		serve(1, "asyncapi", "/asyncapi.json", "Read the AsyncAPI document.", "application/json"),
		serve(2, "docs", "/docs", "Show the documents.", "text/html; charset=utf-8"),
	}
}

func showPage(openAPI, asyncAPI []byte) []byte {
	data := struct {
		API, Topics object
		Style       template.CSS
	}{Style: template.CSS(style)} //nolint:gosec // it is the embedded file
	var b bytes.Buffer
	err := errors.Join(json.Unmarshal(openAPI, &data.API), json.Unmarshal(asyncAPI, &data.Topics), page.Execute(&b, &data))
	if err != nil {
		panic(fmt.Sprintf("docs: %v", err)) // this package wrote them
	}
	return b.Bytes()
}

// resolve is the schema, or the component of the document that it refers to.
func resolve(schema, document object) object {
	if ref, ok := schema["$ref"].(string); ok {
		return document["components"].(object)["schemas"].(object)[path.Base(ref)].(object)
	}
	return schema
}

// describeType is what a value may be, in a few words: "integer from 1 to 100".
func describeType(schema object) string {
	text := "object"
	switch t := schema["type"].(type) {
	case string:
		text = t
	case []any:
		text = strings.ReplaceAll(strings.Trim(fmt.Sprint(t), "[]"), " ", " or ")
	}
	if items, ok := schema["items"].(object); ok {
		text = "list of " + describeType(items) + "s"
	}
	if schema["minimum"] != nil && schema["maximum"] != nil {
		text += fmt.Sprintf(" from %v to %v", schema["minimum"], schema["maximum"])
	}
	if enum, ok := schema["enum"].([]any); ok {
		text = strings.Trim(fmt.Sprint(enum), "[]")
	}
	if value := schema["default"]; value != nil {
		text += fmt.Sprintf(", default %v", value)
	}
	return text
}
