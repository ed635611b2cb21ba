package imports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who may import whom. Packages are named by patterns of path.Match, within this module
// without its name ("" is main); a pattern that ends in /... means the package and everything below it. They hold for
// packages that do not exist yet.
const module = "github.com/sipeat/sipeat"

var handlers = []string{"functions/commands", "functions/queries", "functions/consumers"}

// layers says which packages of this module a package may import. The first row that fits a package counts.
var layers = []struct {
	rule string
	who  []string
	may  []string
}{
	{"main is nothing but the start of cli", []string{""}, []string{"shared/cli"}},
	{"cli joins everything", []string{"shared/cli/..."}, []string{"functions/...", "shared/..."}},
	{"proof may look at everything", []string{"shared/proof/..."}, []string{"functions/...", "shared/..."}},
	{"a bootstrap joins the functions of its own side", []string{"functions/commands/bootstrap"}, []string{"functions/commands", "shared/bootstrap", "shared/web/...", "shared/bus/...", "shared/events", "shared/settings"}},
	{"a bootstrap joins the functions of its own side", []string{"functions/queries/bootstrap"}, []string{"functions/queries", "shared/bootstrap", "shared/web/...", "shared/store/...", "shared/events", "shared/settings"}},
	{"a bootstrap joins the functions of its own side", []string{"functions/consumers/bootstrap"}, []string{"functions/consumers", "shared/bootstrap", "shared/bus/...", "shared/store/...", "shared/notify/...", "shared/trigger", "shared/events", "shared/settings"}},
	{"a command checks and publishes", []string{"functions/commands"}, []string{"shared/web", "shared/bus", "shared/events"}},
	{"a query reads the read model", []string{"functions/queries"}, []string{"shared/web", "shared/store", "shared/events"}},
	{"a consumer takes an event and has an effect", []string{"functions/consumers"}, []string{"shared/bus", "shared/store", "shared/notify", "shared/events"}},
	{"functions hold the three sides and their bootstraps, nothing else", []string{"functions/..."}, nil},
	{"the parts never import each other", []string{"shared/web/..."}, []string{"shared/web/...", "shared/trace", "shared/events", "shared/settings"}},
	{"the parts never import each other", []string{"shared/bus/..."}, []string{"shared/bus/...", "shared/trace", "shared/events", "shared/settings"}},
	{"the parts never import each other", []string{"shared/store/..."}, []string{"shared/store/...", "shared/events", "shared/settings"}},
	{"the parts never import each other", []string{"shared/notify/..."}, []string{"shared/notify/...", "shared/events", "shared/settings"}},
	{"the trigger is the engine's second way in, as bus/kafka is the first, and knows no other part", []string{"shared/trigger/..."}, []string{"shared/trigger/...", "shared/bus", "shared/events", "shared/settings"}},
	{"what the entry points share knows of no side", []string{"shared/bootstrap"}, []string{"shared/events", "shared/trace", "shared/settings"}},
	{"local is a broker, and knows nothing of what it carries", []string{"shared/local/..."}, []string{"shared/local/...", "shared/settings"}},
	{"observe looks at the parts, and no part knows it", []string{"shared/observe/..."}, []string{"shared/web", "shared/bus/...", "shared/notify", "shared/trace", "shared/events"}},
	{"events, settings and trace stand on nothing of ours", []string{"shared/events/...", "shared/settings/...", "shared/trace/..."}, nil},
	{"every package has its place: give a new one a row here", []string{"..."}, nil},
}

// libraries says who alone may import what.
var libraries = []struct {
	rule string
	what []string
	who  []string
}{
	{"Kafka is met in few places", []string{"github.com/twmb/franz-go/..."}, []string{"shared/bus/kafka/...", "shared/trigger/poller/...", "shared/local/...", "shared/cli/clitest", "shared/proof/..."}},
	{"kfake is made safe in local", []string{"github.com/twmb/franz-go/pkg/kfake/..."}, []string{"shared/local/...", "shared/cli/clitest", "shared/proof/..."}},
	{"the AWS SDK is met in few places", []string{"github.com/aws/aws-sdk-go-v2/..."}, []string{"shared/store/dynamodb/...", "shared/notify/ses/...", "shared/trigger/poller/...", "functions/*/bootstrap", "shared/cli/...", "shared/proof/template"}},
	{"only servers look AWS's settings up by its config package", []string{"github.com/aws/aws-sdk-go-v2/config/..."}, []string{"shared/cli/..."}},
	{"only the Lambda side knows Lambda", []string{"github.com/aws/aws-lambda-go/..."}, []string{"functions/*/bootstrap", "shared/bootstrap", "shared/web/...", "shared/trigger"}},
	{"SQL is met in one place", []string{"modernc.org/...", "database/sql/..."}, []string{"shared/store/sqlite/..."}},
	{"a handler knows no HTTP server", []string{"net/http/..."}, []string{"shared/...", "functions/*/bootstrap"}},
	{"the command line is met in cli", []string{"github.com/spf13/...", "github.com/jedib0t/...", "github.com/schollz/...", "github.com/joho/..."}, []string{"shared/cli/..."}},
	{"metrics and traces are met in observe", []string{"github.com/prometheus/...", "go.opentelemetry.io/...", "github.com/go-logr/..."}, []string{"shared/observe/...", "shared/cli/clitest", "shared/proof/..."}},
	{"tests test", []string{"github.com/stretchr/..."}, []string{"shared/store/storetest/...", "shared/notify/notifytest/...", "shared/cli/clitest", "shared/proof/..."}},
}

// diets says what a package may import from outside of this module and the standard library, and nothing else.
var diets = []struct {
	rule string
	who  []string
	may  []string
}{
	{"events has one library each for ids and JSON: all that links it pays for more at its start", []string{"shared/events/..."},
		[]string{"github.com/google/uuid", "github.com/go-json-experiment/json/..."}},
	{"settings and trace are standard library only", []string{"shared/settings/...", "shared/trace/..."}, nil},
}

// links says what a package must not contain, by whatever way.
var links = []struct {
	rule string
	who  []string
	not  []string
}{
	{"a query never links Kafka", []string{"functions/queries/..."}, []string{"github.com/twmb/franz-go/...", "shared/bus/..."}},
	{"a command never links a database", []string{"functions/commands/..."}, []string{"shared/store/...", "github.com/aws/aws-sdk-go-v2/service/dynamodb/...", "database/sql", "modernc.org/..."}},
	{"no Lambda binary links kfake, SQLite or the AWS config package: cold starts", []string{"functions/..."},
		[]string{"github.com/twmb/franz-go/pkg/kfake/...", "modernc.org/...", "database/sql", "github.com/aws/aws-sdk-go-v2/config/..."}},
	{"no Lambda binary links metrics or OpenTelemetry, its API either: cold starts", []string{"functions/..."},
		[]string{"github.com/prometheus/...", "go.opentelemetry.io/...", "shared/observe/..."}},
	{"a handler knows neither Lambda nor Kafka", handlers, []string{"github.com/aws/...", "github.com/twmb/..."}},
	{"on AWS the gateway in front checks tokens", []string{"functions/..."}, []string{"github.com/golang-jwt/...", "shared/web/gateway/..."}},
	{"what an event is does not depend on how it travels", []string{"shared/events/...", "shared/settings/..."}, []string{"net/http/...", "database/sql", "github.com/twmb/...", "github.com/aws/..."}},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, fault := range faults(imports(t)) {
		t.Error(fault)
	}
}

// graph is what each package imports, of all packages that any of ours links.
type graph map[string][]string

// imports asks the go command, which knows the build's rules. Packages that do not compile are seen too.
func imports(t *testing.T) graph {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports", module+"/...")
	out, err := list.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.NoError(t, err, "%s", exit.Stderr)
	}
	require.NoError(t, err)
	g := graph{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		g[p.ImportPath] = p.Imports
	}
	require.Contains(t, g, module+"/shared/events", "the packages were not found")
	return g
}

// faults names every import that is against a rule, the rule, and how it comes about.
func faults(g graph) (found []string) {
	say := func(rule, what, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s\n\t%s", rule, what, fmt.Sprintf(format, args...)))
	}
	for _, pkg := range g.ours() {
		who := place(pkg)
		for _, imported := range g[pkg] {
			what := place(imported)
			if ours(imported) {
				for _, l := range layers {
					if fits(who, l.who) {
						if !fits(what, l.may) {
							say(l.rule, name(pkg)+" must not import "+name(imported), "it may import %s", orNothing(l.may))
						}
						break
					}
				}
				continue
			}
			for _, l := range libraries {
				if fits(imported, l.what) && !fits(who, l.who) {
					say(l.rule, name(pkg)+" must not import "+imported, "only these do: %s", orNothing(l.who))
				}
			}
			for _, d := range diets {
				if fits(who, d.who) && strings.Contains(strings.Split(imported, "/")[0], ".") && !fits(imported, d.may) {
					say(d.rule, name(pkg)+" must not import "+imported, "it may import %s", orNothing(d.may))
				}
			}
		}
		for _, l := range links {
			if !fits(who, l.who) {
				continue
			}
			if chain := g.chain(pkg, func(p string) bool { return fits(place(p), l.not) }); chain != nil {
				say(l.rule, name(pkg)+" links "+name(chain[len(chain)-1]), "%s", strings.Join(named(chain), " -> "))
			}
		}
	}
	return found
}

// chain is a shortest way from a package to one that is wanted.
func (g graph) chain(from string, wanted func(string) bool) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		pkg := queue[0]
		if pkg != from && wanted(pkg) {
			var chain []string
			for ; pkg != ""; pkg = before[pkg] {
				chain = append(chain, pkg)
			}
			slices.Reverse(chain)
			return chain
		}
		for _, imported := range g[pkg] {
			if _, seen := before[imported]; !seen {
				before[imported] = pkg
				queue = append(queue, imported)
			}
		}
	}
	return nil
}

func (g graph) ours() (packages []string) {
	for pkg := range g {
		if ours(pkg) {
			packages = append(packages, pkg)
		}
	}
	slices.Sort(packages)
	return packages
}

func ours(pkg string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }

// place is where a package stands in the house, or its whole path if it is not ours.
func place(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
}

func name(pkg string) string {
	if pkg == module {
		return "main"
	}
	return place(pkg)
}

func named(chain []string) (names []string) {
	for _, pkg := range chain {
		names = append(names, name(pkg))
	}
	return names
}

func orNothing(patterns []string) string {
	if len(patterns) == 0 {
		return "nothing"
	}
	return strings.Join(patterns, ", ")
}

func fits(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		root, below := strings.CutSuffix(pattern, "...")
		if !below {
			match, err := path.Match(pattern, pkg)
			return err == nil && match
		}
		return root == "" || pkg+"/" == root || strings.HasPrefix(pkg, root)
	})
}

// TestTheRulesBite: each rule finds what it is for, in packages that need not exist.
func TestTheRulesBite(t *testing.T) {
	const kafka, dynamo = "github.com/twmb/franz-go/pkg/kgo", "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	in := func(p string) string { return module + "/" + p }
	for _, c := range []struct {
		g    graph
		says []string // of each fault
	}{
		{graph{in("shared/web"): {in("shared/events"), "net/http"}, in("shared/bus/kafka"): {in("shared/bus"), kafka}, module: {in("shared/cli")}}, nil},
		{graph{in("shared/web"): {in("shared/store")}}, []string{"the parts never import each other: shared/web must not import shared/store"}},
		{graph{in("shared/web/lambda"): {in("shared/bus/kafka")}}, []string{"shared/web/lambda must not import shared/bus/kafka"}},
		{graph{in("shared/events"): {in("shared/settings"), "github.com/pkg/errors", "github.com/google/uuid"}},
			[]string{"events, settings and trace stand on nothing", "must not import github.com/pkg/errors"}},
		{graph{module: {in("functions/commands")}}, []string{"main is nothing but the start of cli: main must not import functions/commands"}},
		{graph{in("shared/new"): {in("shared/events")}}, []string{"give a new one a row here: shared/new must not import shared/events"}},
		{graph{in("functions/helpers"): {in("shared/events")}}, []string{"nothing else: functions/helpers must not import shared/events"}},
		{graph{in("shared/cli"): {kafka}}, []string{"Kafka is met in few places: shared/cli must not import " + kafka}},
		{graph{in("shared/store/sqlite"): {dynamo}}, []string{"the AWS SDK is met in few places: shared/store/sqlite must not import " + dynamo}},
		{graph{in("shared/cli"): {"github.com/aws/aws-sdk-go-v2/config"}, in("shared/notify/ses"): {"github.com/aws/aws-sdk-go-v2/config"}},
			[]string{"only servers look AWS's settings up by its config package: shared/notify/ses must not import github.com/aws/aws-sdk-go-v2/config"}},
		{graph{in("shared/trigger"): {"github.com/aws/aws-lambda-go/lambda"}, in("functions/queries/bootstrap"): {"github.com/aws/aws-lambda-go/lambda"}}, nil},
		{graph{in("functions/queries/bootstrap"): {in("functions/queries")}, in("functions/queries"): {in("shared/web")}, in("shared/web"): {"example.com/x"}, "example.com/x": {kafka}},
			[]string{"functions/queries -> shared/web -> example.com/x -> " + kafka, "a handler knows neither", "functions/queries/bootstrap -> functions/queries -> shared/web -> example.com/x -> " + kafka}},
		{graph{in("functions/queries"): {"example.com/x"}, "example.com/x": {"github.com/golang-jwt/jwt/v5"}},
			[]string{"the gateway in front checks tokens: functions/queries links github.com/golang-jwt/jwt/v5\n\tfunctions/queries -> example.com/x -> github.com/golang-jwt/jwt/v5"}},
		{graph{in("functions/commands/bootstrap"): {"example.com/x"}, "example.com/x": {dynamo}}, []string{"a command never links a database"}},
		{graph{in("functions/consumers/bootstrap"): {"example.com/x"}, "example.com/x": {"go.opentelemetry.io/otel/trace"}}, []string{"no Lambda binary links metrics"}},
		{graph{in("functions/consumers/bootstrap"): {"example.com/x"}, "example.com/x": {"github.com/aws/aws-sdk-go-v2/config"}}, []string{"no Lambda binary links"}},
	} {
		found := faults(c.g)
		if assert.Len(t, found, len(c.says), "%v", c.g) {
			for i, says := range c.says {
				assert.Contains(t, found[i], says)
			}
		}
	}
}
