package consumers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/events"
)

// TestANewTypeInThreeSteps names the step of README that was forgotten, as far as it is done in this package. The
// declaration and the catalogue are held to by the test of the same name in shared/events.
func TestANewTypeInThreeSteps(t *testing.T) {
	written, listed := sourceOf(t)
	checkTable(t, listed)
	if t.Failed() { // what is called by a wrong name cannot be found by its own
		return
	}
	topics := map[string]bool{}
	for _, d := range events.Catalogue() {
		topics[d.Topic] = true
		on, file := "On"+pascal(d.Topic), strings.ReplaceAll(d.Topic, "-", "_")+".go"
		c, ok := written[on]
		switch {
		case !ok:
			t.Errorf("step 2, write the consumer: nothing handles %s"+
				"\n\tin functions/consumers/%s write:"+
				"\n\ttype %s struct{ Consumers }"+
				"\n\twith the methods Project and React, as contact_created.go has them", d.Topic, file, on)
			continue
		case c.file != file:
			t.Errorf("step 2, write the consumer: %s stands in functions/consumers/%s\n\tmove it to functions/consumers/%s", on, c.file,
				file)
		}
		for _, half := range []string{"Project", "React"} {
			if !slices.Contains(c.methods, half) {
				t.Errorf("step 2, write the consumer: %s has no %s"+
					"\n\tin functions/consumers/%s write:"+
					"\n\tfunc (h %s) %s(ctx context.Context, e events.Event[events.%s]) error", on, half, file, on, half, pascal(d.Topic))
			}
		}
		if !slices.ContainsFunc(listed, func(l line) bool { return l.handler == on }) {
			t.Errorf("step 3, list it: %s is not in the table of consumers"+
				"\n\tin functions/consumers/functions.go add the line:"+
				"\n\tfunction(%q, %q, %s{c}),", on, d.Topic, group(d.Topic), on)
		}
	}
	for on := range written {
		if topic := kebab(strings.TrimPrefix(on, "On")); !topics[topic] {
			t.Errorf("step 3, list it: %s handles %s, which is not in the catalogue"+
				"\n\tin shared/events/catalogue.go add the line:"+
				"\n\tdefine[%s](\"What it says, in one sentence.\"),", on, topic, strings.TrimPrefix(on, "On"))
		}
	}
}

// checkTable: each consumer is there once, by its own names.
func checkTable(t *testing.T, listed []line) {
	table := consumers.Consumers{}.Functions()
	require.Len(t, listed, len(table), "this test no longer reads functions.go as it is written")
	names, groups := map[string]bool{}, map[string]bool{}
	for i, f := range table {
		on, topic := listed[i].handler, f.Consumer.Topic
		if on != "On"+pascal(topic) {
			t.Errorf("step 2, write the consumer: %s handles %s\n\trename it to On%s", on, topic, pascal(topic))
			continue
		}
		if f.Name != topic || f.Name != listed[i].name {
			t.Errorf("step 3, list it: %s is called %q and handles %s"+
				"\n\tin functions/consumers/functions.go write:"+
				"\n\tfunction(%q, %q, %s{c}),", on, f.Name, topic, topic, f.Consumer.Group, on)
		}
		if names[topic] || groups[f.Consumer.Group] {
			t.Errorf("step 3, list it: %s, or its group %s, is there twice: they would take each other's events"+
				"\n\tin functions/consumers/functions.go write:"+
				"\n\tfunction(%q, %q, %s{c}),", topic, f.Consumer.Group, topic, group(topic), on)
		}
		names[topic], groups[f.Consumer.Group] = true, true
		if taken := frozen[topic]; taken != "" && f.Consumer.Group != taken {
			t.Errorf("step 3, list it: the group of %s is %q, which has none of its offsets"+
				"\n\tin functions/consumers/functions.go write:"+
				"\n\tfunction(%q, %q, %s{c}),", topic, f.Consumer.Group, topic, group(topic), on)
		}
		if f.Replay.Topic != topic || f.Replay.Group != f.Consumer.Group {
			t.Errorf("%s: Replay is of %s and %s\n\tmend function in functions/consumers/function.go", topic, f.Replay.Topic,
				f.Replay.Group)
		}
	}
}

// frozen are the groups whose offsets are kept under these names since the TypeScript app.
var frozen = map[string]string{
	"contact-created": "sipeat-contact-consumer", "machine-created": "sipeat-machine-consumer",
	"request-created": "sipeat-request-consumer", "notification": "sipeat-notification-consumer",
}

// group is the consumer group that a topic has, or could have: of refill-requested it is sipeat-refill-consumer.
func group(topic string) string {
	if name := frozen[topic]; name != "" {
		return name
	}
	subject, _, _ := strings.Cut(topic, "-")
	name := "sipeat-" + subject + "-consumer"
	for _, taken := range frozen {
		if name == taken {
			return "sipeat-" + topic + "-consumer"
		}
	}
	return name
}

type (
	// consumer is a type On… as it is declared.
	consumer struct {
		file    string
		methods []string
	}
	// line is a line of the table in functions.go.
	line struct{ name, handler string }
)

// sourceOf finds the consumers that are written, and the lines that list some of them, in the source.
func sourceOf(t *testing.T) (written map[string]consumer, listed []line) {
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	files, methods := map[string]string{}, map[string][]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if _, ok := n.Type.(*ast.StructType); ok && strings.HasPrefix(n.Name.Name, "On") {
					files[n.Name.Name] = path
				}
			case *ast.FuncDecl:
				if on := receiver(n); on != "" {
					methods[on] = append(methods[on], n.Name.Name)
				}
			case *ast.CallExpr:
				if l, ok := lineOf(n); ok && path == "functions.go" {
					listed = append(listed, l)
				}
			}
			return true
		})
	}
	written = map[string]consumer{}
	for on, file := range files {
		written[on] = consumer{file, methods[on]}
	}
	return written, listed
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if ident, ok := of.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}

// lineOf reads function("contact-created", "sipeat-contact-consumer", OnContactCreated{c}).
func lineOf(call *ast.CallExpr) (l line, ok bool) {
	if f, ok := call.Fun.(*ast.Ident); !ok || f.Name != "function" || len(call.Args) != 3 {
		return l, false
	}
	if name, ok := call.Args[0].(*ast.BasicLit); ok {
		l.name, _ = strconv.Unquote(name.Value)
	}
	if made, ok := call.Args[2].(*ast.CompositeLit); ok {
		if handler, ok := made.Type.(*ast.Ident); ok {
			l.handler = handler.Name
		}
	}
	return l, l.name != "" && l.handler != ""
}

var capital = regexp.MustCompile(`(.)([A-Z])`)

// kebab turns RefillRequested into refill-requested, pascal turns it back.
func kebab(name string) string { return strings.ToLower(capital.ReplaceAllString(name, "$1-$2")) }

func pascal(topic string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(topic, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
