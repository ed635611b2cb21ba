// Package docs writes the documents for those who integrate with SipEat: OpenAPI 3.1 of the API, AsyncAPI 3.0 of the topics,
// and a page that shows both. They are made of what the program itself runs on: the tables of functions, the catalogue of events
// with its rules and frozen samples, the declarations of the topics. Nothing is listed here a second time.
package docs

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type object = map[string]any

// render is a document as JSON that people can read and compare: indented, with sorted names.
func render(document any) []byte {
	b, err := json.Marshal(document, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		panic(fmt.Sprintf("docs: %v", err)) // a value that is no JSON is a mistake in this package
	}
	return append(b, '\n')
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }
