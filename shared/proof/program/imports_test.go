// Package source tests which packages import which, and the recipes of the Makefile.
package program

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/sipeat/sipeat"

// Rules name packages by patterns of path.Match, those of this module without its name; PATTERN/... is the package and all
// below it. They hold for packages that do not exist yet.

// layers: package -> the packages of this module that it may import. The first row that matches counts.
var layers = rules(`
# main only starts cli
main -> shared/cli
# cli connects everything
shared/cli/... -> functions/... shared/...
# proof tests everything
shared/proof/... -> functions/... shared/...
# a bootstrap connects the functions of its side
functions/commands/bootstrap -> functions/commands shared/bootstrap shared/web/... shared/bus/... shared/events shared/settings
functions/queries/bootstrap -> functions/queries shared/bootstrap shared/web/... shared/store/... shared/events shared/settings
functions/consumers/bootstrap -> functions/consumers shared/bootstrap shared/bus/... shared/store/... shared/notify/... \
    shared/trigger shared/events shared/settings
# a command validates and publishes
functions/commands -> shared/web shared/bus shared/events
# a query reads the read model
functions/queries -> shared/web shared/store shared/events
# a consumer turns events into effects
functions/consumers -> shared/bus shared/store shared/notify shared/events
# functions has three sides and their bootstraps only
functions/... ->
# the parts never import each other
shared/web/... -> shared/web/... shared/trace shared/events shared/settings
shared/bus/... -> shared/bus/... shared/trace shared/events shared/settings
shared/store/... -> shared/store/... shared/events shared/settings
shared/notify/... -> shared/notify/... shared/events shared/settings
# trigger feeds the engine, like bus/kafka
shared/trigger/... -> shared/trigger/... shared/bus shared/events shared/settings
# shared/bootstrap is independent of the sides
shared/bootstrap -> shared/events shared/trace shared/settings
# local is a broker of anything
shared/local/... -> shared/local/... shared/settings
# observe watches the parts
shared/observe/... -> shared/web shared/bus/... shared/notify shared/trace shared/events
# docs describes the endpoints and the topics
shared/docs/... -> shared/web shared/bus/... shared/trace shared/events shared/settings
# console shows the bus and the read model
shared/console/... -> shared/web shared/bus/... shared/store shared/trace shared/events shared/settings
# events, settings and trace import no other package of the module
shared/events/... shared/settings/... shared/trace/... ->
# every package needs a row here
... ->
`)

// libraries: library -> the packages that may import it.
var libraries = rules(`
# Kafka clients are in few places
github.com/twmb/franz-go/... -> shared/bus/kafka/... shared/local/... shared/proof/...
# only local wraps kfake
github.com/twmb/franz-go/pkg/kfake/... -> shared/local/... shared/proof/...
# the AWS SDK is in few places
github.com/aws/aws-sdk-go-v2/... -> shared/store/dynamodb/... shared/notify/ses/... functions/*/bootstrap shared/cli/... \
    shared/proof/template
# only servers use the AWS config package
github.com/aws/aws-sdk-go-v2/config/... -> shared/cli/...
# only entry points know Lambda
github.com/aws/aws-lambda-go/... -> functions/*/bootstrap shared/bootstrap shared/web/... shared/trigger
# SQL is in one package
modernc.org/... database/sql/... -> shared/store/sqlite/...
# handlers do not use net/http
net/http/... -> shared/... functions/*/bootstrap
# command-line libraries are in cli
github.com/spf13/... github.com/jedib0t/... github.com/schollz/... github.com/joho/... -> shared/cli/...
# the console is a part of the command
shared/console/... -> shared/cli/... shared/proof/...
# schemas are in docs
github.com/google/jsonschema-go/... github.com/getkin/... -> shared/docs/... shared/proof/...
# metrics and traces are in observe
github.com/prometheus/... go.opentelemetry.io/... github.com/go-logr/... -> shared/observe/... shared/proof/...
# testify is for tests
github.com/stretchr/... -> shared/notify/notifytest/... shared/proof/...
`)

// diets: package -> the only third-party packages that it may import.
var diets = rules(`
# events has one library each for ids and JSON: every Lambda pays for it at its start
shared/events/... -> github.com/google/uuid github.com/go-json-experiment/json/...
# settings and trace use the standard library only
shared/settings/... shared/trace/... ->
`)

// links: package -> the packages that it must not link, over any number of imports.
var links = rules(`
# a query never links Kafka
functions/queries/... -> github.com/twmb/franz-go/... shared/bus/...
# a command never links a database
functions/commands/... -> shared/store/... github.com/aws/aws-sdk-go-v2/service/dynamodb/... database/sql modernc.org/...
# no Lambda binary links kfake, SQLite, the AWS config package, metrics, OpenTelemetry or the console: cold starts
functions/... -> github.com/twmb/franz-go/pkg/kfake/... modernc.org/... database/sql github.com/aws/aws-sdk-go-v2/config/... \
    github.com/prometheus/... go.opentelemetry.io/... shared/observe/... shared/console/...
# a handler knows neither Lambda nor Kafka
functions/commands functions/queries functions/consumers -> github.com/aws/... github.com/twmb/...
# on AWS the API Gateway checks tokens
functions/... -> github.com/golang-jwt/... shared/web/gateway/...
# events do not depend on their transport
shared/events/... shared/settings/... -> net/http/... database/sql github.com/twmb/... github.com/aws/...
`)

type rule struct {
	reason   string
	from, to []string
}

func rules(text string) (all []rule) {
	reason := ""
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			reason = strings.TrimSpace(comment)
		} else if from, to, ok := strings.Cut(line, "->"); ok {
			all = append(all, rule{reason, strings.Fields(from), strings.Fields(to)})
		}
	}
	return all
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"/...").Output()
	require.NoError(t, err)
	var seen []string
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct {
			ImportPath    string
			Imports, Deps []string
		}
		require.NoError(t, d.Decode(&p))
		pkg := name(p.ImportPath)
		seen = append(seen, pkg)
		layer := layers[slices.IndexFunc(layers, func(r rule) bool { return matches(pkg, r.from) })]
		for _, path := range p.Imports {
			path = name(path)
			if ours(path) {
				assert.True(t, matches(path, layer.to), "%s: %s must not import %s", layer.reason, pkg, path)
			}
			for _, r := range libraries {
				assert.False(t, matches(path, r.from) && !matches(pkg, r.to), "%s: %s must not import %s", r.reason, pkg, path)
			}
			for _, r := range diets {
				library := !ours(path) && strings.Contains(path, ".")
				assert.False(t, matches(pkg, r.from) && library && !matches(path, r.to), "%s: %s must not import %s", r.reason, pkg, path)
			}
		}
		for _, r := range links {
			for _, path := range p.Deps {
				assert.False(t, matches(pkg, r.from) && matches(name(path), r.to), "%s: %s must not link %s", r.reason, pkg, path)
			}
		}
	}
	require.Subset(t, seen, []string{"main", "shared/events", "functions/queries/bootstrap"})
}

// name is the path of a package without the module; that of other modules stays.
func name(path string) string {
	if path == module {
		return "main"
	}
	return strings.TrimPrefix(path, module+"/")
}

func ours(pkg string) bool {
	return pkg == "main" || strings.HasPrefix(pkg, "functions/") || strings.HasPrefix(pkg, "shared/")
}

func matches(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		root, below := strings.CutSuffix(pattern, "...")
		match, _ := path.Match(pattern, pkg)
		return match || below && strings.HasPrefix(pkg+"/", root)
	})
}
