package docs_test

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/docs"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
)

func functions() []web.Function {
	all := append(commands.Commands{}.Functions(), queries.Queries{}.Functions()...)
	return append(all, web.Health()...)
}

func openAPI() []byte { return docs.OpenAPI("v1.0.0", functions()) }

func asyncAPI() []byte {
	topics := map[string]string{}
	for _, f := range (consumers.Consumers{}).Functions() {
		topics[f.Consumer.Group] = f.Consumer.Topic
	}
	return docs.AsyncAPI("v1.0.0", settings.Kafka{Brokers: []string{"127.0.0.1:9092"}}, topics)
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(openAPI())
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()), "the examples are checked, too")
	for _, f := range functions() {
		method, path, _ := strings.Cut(f.Route, " ")
		item := document.Paths.Find(path)
		require.NotNil(t, item, f.Route)
		o := item.GetOperation(method)
		require.NotNil(t, o, f.Route)
		assert.Equal(t, f.Name, o.OperationID)
		assert.NotEmpty(t, o.Summary, "%s: give it a Summary", f.Name)
		for _, p := range o.Parameters {
			assert.NotEmpty(t, p.Value.Description, "%s: give the parameter %s the tag doc", f.Name, p.Value.Name)
		}
		if o.RequestBody != nil {
			assert.NotEmpty(t, o.RequestBody.Value.Content["application/json"].Example, f.Name)
		}
	}
}

// The schema is that of @asyncapi/specs.
func TestAsyncAPIIsValid(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/asyncapi-3.0.0.json.gz")
	require.NoError(t, err)
	defer file.Close()
	text, err := gzip.NewReader(file)
	require.NoError(t, err)
	var schema jsonschema.Schema
	require.NoError(t, json.NewDecoder(text).Decode(&schema))
	schema.Schema += "#" // as the library knows draft 7
	official, err := schema.Resolve(nil)
	require.NoError(t, err)
	var document map[string]any
	require.NoError(t, json.Unmarshal(asyncAPI(), &document))
	require.NoError(t, official.Validate(document))
	channel := document["channels"].(map[string]any)["contact-created"].(map[string]any)
	channel["bindings"].(map[string]any)["kafka"].(map[string]any)["partitions"] = -1
	require.Error(t, official.Validate(document), "the schema checks the bindings")
}

func TestPageShowsTheDocuments(t *testing.T) {
	t.Parallel()
	functions := docs.Functions(func() ([]byte, []byte) { return openAPI(), asyncAPI() })
	w := httptest.NewRecorder()
	functions[2].Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs", http.NoBody))
	for _, text := range []string{"<code>POST /contacts</code>", "<code>GET /demand</code> <small>staff</small>",
		"<td><code>limit</code><td>query<td>integer from 1 to 100, default 20<td>The most", "<td>contact machine request<td>",
		"<code>drinksList</code> required<td>list of strings<td>1 to 20 entries.", "<td>413<td>", "&#34;Ada Lovelace&#34;",
		`<a href="#contact-created">`, `<section id="AuditRecord">`,
		"<code>dead-letter-class</code><td>undecodable refused", "<code>redrive-consumer</code><td>string<td>Of a redriven event"} {
		assert.Contains(t, w.Body.String(), text)
	}
}

// The documents are what others integrate with: a change is to be seen.
func TestDocumentsAreAsReleased(t *testing.T) {
	t.Parallel()
	for name, document := range map[string][]byte{"openapi.json": openAPI(), "asyncapi.json": asyncAPI()} {
		path := filepath.Join("testdata", name)
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(path, document, 0o644))
		}
		released, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(released), string(document), "if the change breaks no reader, write the document again: "+
			"UPDATE=1 go test ./shared/docs")
	}
}
