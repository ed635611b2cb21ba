package events_test

import (
	"fmt"
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

	"github.com/sipeat/sipeat/shared/events"
)

// TestANewTypeInThreeSteps names a forgotten step of README's instructions, for the steps in this package. The test of the same
// name in functions/consumers covers the others.
func TestANewTypeInThreeSteps(t *testing.T) {
	types, listed := declared(t), catalogued(t)
	for name, d := range types {
		topic := kebab(name)
		if want := strings.ReplaceAll(topic, "-", "_") + ".go"; d.file != want {
			t.Errorf("step 1, declare the type: %s stands in shared/events/%s\n\tmove it to shared/events/%s", name, d.file, want)
		}
		if d.topic != topic {
			t.Errorf("step 1, declare the type: %s has no topic of its name\n"+
				"\tin shared/events/%s write:\n\tfunc (%s) Topic() string { return %q }", name, d.file, name, topic)
		}
		if !d.validated {
			t.Errorf("step 1, declare the type: %s validates only the fields of Base\n"+
				"\tin shared/events/%s write:\n"+
				"\tfunc (x %s) Validate() []FieldError { v := validator{x.Base.Validate()}; …; return v.faults }", name, d.file, name)
		}
		if !slices.Contains(listed, name) {
			t.Errorf("step 3, list it: %s is not in the catalogue\n"+
				"\tin shared/events/catalogue.go add the line:\n\tdefine[%s](\"What it says, in one sentence.\"),\n"+
				"\tand write one event of it, as it will stand on the topic, to shared/events/testdata/%s.json", name, name, topic)
		}
	}
	for _, name := range listed {
		if _, ok := types[name]; !ok {
			t.Errorf("step 1, declare the type: the catalogue lists %s\n"+
				"\tin shared/events/%s.go declare:\n\ttype %s struct { Base; … }", name, strings.ReplaceAll(kebab(name), "-", "_"), name)
		}
	}
	if !t.Failed() { // a type that is not listed right has no sample either
		checkSamples(t)
	}
}

func checkSamples(t *testing.T) {
	var topics []string
	for _, d := range events.Catalogue() {
		file := "shared/events/testdata/" + d.Topic + ".json"
		if slices.Contains(topics, d.Topic) {
			t.Errorf("step 3, list it: %s is twice in the catalogue\n\tin shared/events/catalogue.go take one of them out", d.Topic)
			continue
		}
		topics = append(topics, d.Topic)
		if strings.TrimSpace(d.Description) == "" {
			t.Errorf("step 3, list it: %s has no description\n"+
				"\tin shared/events/catalogue.go say in one sentence what such an event says", d.Topic)
		}
		if _, err := d.Sample(); err != nil { // TestReleasedSamplesDecode looks at what there is
			t.Errorf("step 3, list it: %s has no sample\n"+
				"\tto %s write one event of it, as it will stand on the topic, with your fields in data:\n\t%s",
				d.Topic, file, blankEvent(d.Topic))
		}
	}
	paths, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	for _, path := range paths {
		if topic := strings.TrimSuffix(filepath.Base(path), ".json"); !slices.Contains(topics, topic) {
			t.Errorf("step 3, list it: shared/events/%s is the sample of no type in the catalogue\n"+
				"\tin shared/events/catalogue.go add the line:\n\tdefine[%s](\"What it says, in one sentence.\"),",
				filepath.ToSlash(path), pascal(topic))
		}
	}
}

func blankEvent(topic string) string {
	return fmt.Sprintf(`{"eventId":"0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d","eventType":%q,`+
		`"data":{"id":"0198f1c2-7d39-7c10-8f21-5a4b3c2d1e0f","timestamp":"2026-11-23T06:54:21.120Z"},`+
		`"metadata":{"timestamp":"2026-11-23T06:54:21.123Z","producer":"sipeat-api",`+
		`"correlationId":"0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d"}}`, topic)
}

type declaration struct {
	file, topic string
	validated   bool
}

// declared finds the types that embed Base, and their topics, in the source, because types that are not listed cannot be found
// otherwise.
func declared(t *testing.T) map[string]declaration {
	found, topics, validated := map[string]declaration{}, map[string]string{}, map[string]bool{}
	for file, tree := range source(t) {
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && embedsBase(s) {
					found[n.Name.Name] = declaration{file: file}
				}
			case *ast.FuncDecl:
				if receiver, ok := receiverOf(n); ok && n.Name.Name == "Validate" {
					validated[receiver] = true
				}
				text, returns := returned(n)
				if receiver, ok := receiverOf(n); ok && returns && n.Name.Name == "Topic" {
					topics[receiver] = text
				}
			}
			return true
		})
	}
	for name, d := range found {
		found[name] = declaration{d.file, topics[name], validated[name]}
	}
	require.NotEmpty(t, found, "this test no longer reads the source as it is")
	return found
}

func embedsBase(s *ast.StructType) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		name, ok := f.Type.(*ast.Ident)
		return ok && len(f.Names) == 0 && name.Name == "Base"
	})
}

func receiverOf(f *ast.FuncDecl) (string, bool) {
	if f.Recv == nil {
		return "", false
	}
	name, ok := f.Recv.List[0].Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return name.Name, true
}

// returned is the text that a function with a single return statement returns.
func returned(f *ast.FuncDecl) (string, bool) {
	if f.Body == nil || len(f.Body.List) != 1 {
		return "", false
	}
	ret, ok := f.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return "", false
	}
	literal, ok := ret.Results[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

// catalogued are the types that the catalogue defines.
func catalogued(t *testing.T) (types []string) {
	ast.Inspect(source(t)["catalogue.go"], func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if define, ok := call.Fun.(*ast.IndexExpr); ok && named(define.X, "define") {
				if of, ok := define.Index.(*ast.Ident); ok {
					types = append(types, of.Name)
				}
			}
		}
		return true
	})
	require.Len(t, types, len(events.Catalogue()), "this test no longer reads the catalogue as it is written")
	return types
}

func named(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}

// source is the parsed files of the package, without tests.
func source(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
		}
	}
	return files
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
