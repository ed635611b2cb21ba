package docs

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/sipeat/sipeat/shared/web"
)

//go:embed page.css
var style string

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Functions are the endpoints of the documents: /openapi.json, /asyncapi.json, and /docs, a page that shows both. documents is
// called once, at the first request: most servers are never asked for them.
func Functions(documents func() (openAPI, asyncAPI []byte)) []web.Function {
	written := sync.OnceValue(func() [3][]byte {
		openAPI, asyncAPI := documents()
		return [...][]byte{openAPI, asyncAPI, showPage(openAPI, asyncAPI)}
	})
	digest := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
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

// The parts of the documents that the page shows.
type (
	apiDocument struct {
		Info       struct{ Version, Description string }
		Paths      map[string]map[string]apiOperation
		Components struct{ Schemas schemas }
	}
	apiOperation struct {
		ID          string `json:"operationId"`
		Summary     string
		Security    []any
		Parameters  []parameter
		RequestBody struct{ Content map[string]media }
		Responses   map[string]struct {
			Description string
			Content     map[string]media
		}
	}
	parameter struct {
		Name, In, Description string
		Schema                *jsonschema.Schema
	}
	media struct {
		Schema  *jsonschema.Schema
		Example jsontext.Value
	}
	eventsDocument struct {
		Components struct {
			Schemas  schemas
			Messages map[string]struct {
				Title, Summary string
				Payload        *jsonschema.Schema
				Examples       []struct{ Payload jsontext.Value }
			}
		}
	}
)

// field is a row of a table of fields or parameters; status is one of answers.
type (
	field struct {
		Name, In, Schema, Description string
		Required                      bool
	}
	status struct{ Status, Description string }
)

func showPage(openAPI, asyncAPI []byte) []byte {
	var api apiDocument
	var topics eventsDocument
	for document, into := range map[*[]byte]any{&openAPI: &api, &asyncAPI: &topics} {
		if err := json.Unmarshal(*document, into, json.MatchCaseInsensitiveNames(true)); err != nil {
			panic(fmt.Sprintf("docs: %v", err)) // this package wrote them
		}
	}
	type section struct {
		ID, Method, Path, Title, Summary, Example, Answer string
		Security                                          bool
		Parameters, Fields                                []field
		Responses                                         []status
	}
	data := struct {
		API                  apiDocument
		Style                template.CSS
		Operations, Messages []section
	}{API: api, Style: template.CSS(style)} //nolint:gosec // it is the embedded file
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(api.Paths[path])) {
			o := api.Paths[path][method]
			body := o.RequestBody.Content["application/json"]
			s := section{ID: o.ID, Method: strings.ToUpper(method), Path: path, Summary: o.Summary, Security: o.Security != nil,
				Example: indented(body.Example), Fields: fieldsOf(body.Schema, api.Components.Schemas)}
			for _, p := range o.Parameters {
				s.Parameters = append(s.Parameters, field{Name: p.Name, In: p.In, Schema: describeType(p.Schema), Description: p.Description})
			}
			for _, code := range slices.Sorted(maps.Keys(o.Responses)) {
				s.Responses = append(s.Responses, status{code, o.Responses[code].Description})
				s.Answer += indented(o.Responses[code].Content["application/json"].Example)
			}
			data.Operations = append(data.Operations, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(topics.Components.Messages)) {
		m := topics.Components.Messages[name]
		s := section{Title: cmp.Or(m.Title, name), Summary: m.Summary}
		if inner := m.Payload.Properties["data"]; inner != nil {
			s.Fields = fieldsOf(inner, topics.Components.Schemas)
		} else {
			s.Fields = fieldsOf(m.Payload, topics.Components.Schemas)
		}
		for _, example := range m.Examples {
			s.Example = indented(example.Payload)
		}
		data.Messages = append(data.Messages, s)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		panic(fmt.Sprintf("docs: %v", err))
	}
	return b.Bytes()
}

// fieldsOf lists the fields of a schema, or of the component that it refers to.
func fieldsOf(schema *jsonschema.Schema, components schemas) (fields []field) {
	if schema == nil {
		return nil
	}
	if schema.Ref != "" {
		schema = components[schema.Ref[strings.LastIndex(schema.Ref, "/")+1:]]
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		p := schema.Properties[name]
		fields = append(fields, field{Name: name, Schema: describeType(p), Description: p.Description,
			Required: slices.Contains(schema.Required, name)})
	}
	return fields
}

// describeType is what a value may be, in a few words: "integer from 1 to 100".
func describeType(s *jsonschema.Schema) string {
	text := cmp.Or(s.Type, strings.Join(s.Types, " or "), "object")
	if s.Items != nil {
		text = "list of " + describeType(s.Items) + "s"
	}
	if s.Minimum != nil && s.Maximum != nil {
		text += fmt.Sprintf(" from %.0f to %.0f", *s.Minimum, *s.Maximum)
	}
	if len(s.Enum) > 0 {
		text = strings.Trim(fmt.Sprint(s.Enum), "[]")
	}
	if s.Default != nil {
		text += ", default " + string(s.Default)
	}
	return text
}

func indented(v jsontext.Value) string {
	_ = v.Indent(jsontext.WithIndent("  ")) // it was parsed
	return string(v)
}
