package proof

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// code is what the template has to agree with, as the code says it.
type code struct {
	functions []lambda
	topics    []kafka.Topic
	cors      http.Header // of a preflight's answer and of an answer
	reads     []string    // names in the environment
	rejected  string      // the line that is logged of an event that went into the dead letters
	handled   string      // and of one that did not
}

// lambda is one function, by the table of its side.
type lambda struct {
	name, side   string
	route        string // of commands and queries
	staff        bool
	topic, group string   // of consumers
	needs        []string // "action resource": rights that its own code was seen to need
}

func (l lambda) table() string { return "functions/" + l.side + "/functions.go" }

// logical is the name of its resources: GetContact of get-contact.
func (l lambda) logical() string {
	var out strings.Builder
	for part := range strings.SplitSeq(l.name, "-") {
		out.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return out.String()
}

// theCode is the same for all tests of the template.
func theCode(t *testing.T) code {
	t.Helper()
	c := code{topics: kafka.Topics(events.Catalogue()...), cors: corsOfServers(), reads: namesRead(t)}
	for _, f := range (commands.Commands{}).Functions() {
		c.functions = append(c.functions, lambda{name: f.Name, side: "commands", route: f.Route, staff: f.Staff, needs: needsOfCommand(t, f.Name)})
	}
	for _, f := range (queries.Queries{}).Functions() {
		c.functions = append(c.functions, lambda{name: f.Name, side: "queries", route: f.Route, staff: f.Staff, needs: needsOfQuery(t, f.Name)})
	}
	for _, f := range (consumers.Consumers{}).Functions() {
		c.functions = append(c.functions, lambda{
			name: f.Name, side: "consumers", topic: f.Consumer.Topic, group: f.Consumer.Group, needs: needsOfConsumer(t, f.Name),
		})
	}
	log := func(o bus.Outcome) string {
		var line strings.Builder
		bus.Log(observe.Logger(&line, true, slog.LevelInfo), "group")(bus.Report{Outcome: o, Class: bus.Refused})
		return line.String()
	}
	c.rejected, c.handled = log(bus.Rejected), log(bus.Done)
	return c
}

func corsOfServers() http.Header {
	g := gateway.New(settings.Web{CORSOrigins: []string{"*"}}, slog.New(slog.DiscardHandler), time.Now)
	router := web.Router(nil, append(g.Options(), web.Log(slog.New(slog.DiscardHandler)))...)
	answered := http.Header{}
	for _, method := range []string{"OPTIONS", "GET"} {
		r := httptest.NewRequest(method, "/contacts", nil)
		r.Header.Set("Origin", "https://shop.example")
		if method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		maps.Copy(answered, w.Header())
	}
	return answered
}

// drift says all in which template.yaml differs from the code, each with its line.
func drift(text string, c code) []string {
	var d drifting
	given := map[string]string{
		"ClusterArn": "arn:aws:kafka:eu-central-1:111122223333:cluster/sipeat/0f1e-1", "KafkaBrokers": "b-1:9098", "JwtIssuer": "https://login.example/",
		"JwtAudience": "sipeat-api", "Subnets": "subnet-0a,subnet-0b", "SecurityGroups": "sg-0a", "AlarmTopic": "arn:aws:sns:eu-central-1:111122223333:alarms",
		"SesIdentity": "sipeat.example", "CreateTopics": "true", "MinimumPollers": "2", "LogRetention": "7",
		"TableName": "things", "ClaimsTableName": "claims", "Notify": "ses", "NotifyFrom": "from@sipeat.example", "NotifyTo": "to@sipeat.example", "SmtpUrl": "smtp://mail.example",
		"DiscordWebhook": "https://discord.example", "AnnouncedByProducer": "another", "LogLevel": "warn", "CorsOrigins": "https://shop.example", "DynamoDBEndpoint": "http://table.example",
	}
	full, err := readStack(text, given)
	if err != nil {
		return []string{"template.yaml: " + err.Error()}
	}
	lean := maps.Clone(given) // what there is without the parts that can be left out
	maps.Copy(lean, map[string]string{"SesIdentity": "", "CreateTopics": "false", "MinimumPollers": "0"})
	least, _ := readStack(text, lean)
	d.functions(full, c)
	d.environment(full, c)
	d.mappings(full, least, c)
	d.rights(full, least, c)
	d.topics(full, least, c)
	d.tables(full)
	d.api(full, c)
	d.logs(full, c)
	d.alarms(full, c)
	slices.SortStableFunc(d.found, func(a, b fault) int { return a.line - b.line })
	var said []string
	for _, f := range d.found {
		said = append(said, fmt.Sprintf("template.yaml:%d: %s", f.line, f.text))
	}
	return slices.Compact(said)
}

type drifting struct{ found []fault }

type fault struct {
	line int
	text string
}

// say notes a fault at the first of nodes that there is.
func (d *drifting) say(nodes []*yaml.Node, format string, args ...any) {
	f := fault{1, fmt.Sprintf(format, args...)}
	for _, n := range nodes {
		if n != nil {
			f.line = n.Line
			break
		}
	}
	d.found = append(d.found, f)
}

// is compares what stands under keys of a resource.
func (d *drifting) is(s *stack, id string, want any, why string, keys ...string) {
	n := s.resources[id]
	at := child(n, keys...)
	got := s.value(at)
	if fmt.Sprint(got) == fmt.Sprint(want) {
		return
	}
	show := func(v any) string {
		if v == nil {
			return "nothing"
		}
		return fmt.Sprint(v)
	}
	d.say([]*yaml.Node{at, child(n, "Properties"), n}, "%s has %s as %s, and it has to be %s: %s", id, show(got), strings.TrimPrefix(strings.Join(keys, "."), "Properties."), show(want), why)
}

func TestTheTemplateAgreesWithTheCode(t *testing.T) {
	t.Parallel()
	for _, fault := range drift(source(t, "template.yaml"), theCode(t)) {
		t.Error(fault)
	}
}

// Names of one function in its four mechanical spellings: what the tables list stands in a file, has a sample, and
// nothing is left over.
func TestEachFunctionHasItsFileAndItsSample(t *testing.T) {
	t.Parallel()
	var samples []string
	for _, f := range theCode(t).functions {
		samples = append(samples, f.name+".json")
		file := filepath.Join("functions", f.side, strings.ReplaceAll(f.name, "-", "_")+".go")
		assert.FileExists(t, filepath.Join(root, file), "%s of %s", f.name, f.table())
	}
	for _, side := range []string{"commands", "queries", "consumers"} {
		assert.FileExists(t, filepath.Join(root, "functions", side, "bootstrap", "main.go"), "what `make build` makes dist/%s of", side)
	}
	found, err := os.ReadDir(filepath.Join(root, "functions", "testdata"))
	require.NoError(t, err, "functions/testdata has a sample of what AWS sends for each function")
	var names []string
	for _, f := range found {
		if f.Name() != "testdata.go" { // which embeds them
			names = append(names, f.Name())
		}
	}
	assert.ElementsMatch(t, samples, names, "functions/testdata")
	build := regexp.MustCompile(`for side in ([a-z ]+); do`).FindStringSubmatch(source(t, "Makefile"))
	require.NotNil(t, build)
	assert.Equal(t, "commands queries consumers", build[1], "`make build`")
}
