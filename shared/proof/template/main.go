// Command template writes template.yaml from the tables of functions, the event catalogue, the tables of the read model
// and the CORS answers of servers. Use `make template`. Parameters and resources are in template.yaml.tmpl; rights,
// memory and settings of the functions in functions.go.
package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

//go:embed template.yaml.tmpl
var text string

func main() {
	if err := generate(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(w io.Writer) error {
	all, err := functions()
	if err != nil {
		return err
	}
	data := map[string]any{
		"Topics": kafka.Topics(events.Catalogue()...), "Tables": []table{
			{"ReadModel", "TableName", "", dynamodb.Description(""), ""},
			{"SecondReadModel", "SecondTableName", "SecondTable", dynamodb.Description(""), ""},
			{"Claims", "ClaimsTableName", "", dynamodb.ClaimsDescription(""), dynamodb.Expires},
		}, "CORS": cors(),
	}
	var alarms []errorAlarm
	for _, side := range []string{"commands", "queries", "consumers"} {
		functions := slices.DeleteFunc(slices.Clone(all), func(f function) bool { return f.Side != side })
		data[logical(side)] = functions
		name := logical(side) + "Errors"
		for part := range slices.Chunk(functions, 9) { // an alarm has at most ten metrics, including the sum
			alarms = append(alarms, errorAlarm{name, side, part})
			name += "More"
		}
	}
	data["Errors"] = alarms
	t, err := template.New("template.yaml").Funcs(template.FuncMap{
		"logical": logical, "statement": statement.yaml,
		"config": func(settings map[string]string) (string, error) { // a JSON object of strings, which the API of MSK accepts
			b, err := json.Marshal(settings) // sorts the names
			return string(b), err
		},
		"list": func(comma string) string { return "[" + strings.ReplaceAll(comma, ",", ", ") + "]" },
	}).Parse(text)
	if err != nil {
		return err
	}
	return t.Execute(w, data)
}

type table struct {
	ID, NameParameter, Condition string
	Description                  *sdk.CreateTableInput
	Expires                      string // the attribute of its time to live
}

type errorAlarm struct {
	Name, Side string
	Functions  []function
}

// logical turns get-contact into GetContact and contact-created.dead-letters into ContactCreatedDeadLetters.
func logical(name string) string {
	var out strings.Builder
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '.' }) {
		out.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return out.String()
}

// cors returns the CORS headers of servers, so that API Gateway answers the same.
func cors() http.Header {
	silent := slog.New(slog.DiscardHandler)
	g := gateway.New(settings.Web{Auth: settings.Auth{Mode: "token"}, CORSOrigins: []string{"*"}}, silent, time.Now)
	router := web.Router(nil, g.Options())
	w := httptest.NewRecorder()
	for _, method := range []string{"OPTIONS", "GET"} {
		r := httptest.NewRequest(method, "/contacts", nil)
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		router.ServeHTTP(w, r)
	}
	return w.Header()
}
