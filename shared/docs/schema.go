package docs

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/sipeat/sipeat/shared/events"
)

// schemas are the components of a document, by name.
type schemas map[string]*jsonschema.Schema

// define adds the schema of a type, and of the structs in it, and returns a reference to it. Readers ignore fields that they do
// not know, so it allows more.
func (s schemas) define(t reflect.Type) *jsonschema.Schema {
	name := componentName(t)
	if _, known := s[name]; !known {
		s[name] = s.of(t)
	}
	return &jsonschema.Schema{Ref: "#/components/schemas/" + name}
}

// of is the schema of a struct as it is answered or read. The rules of an event are texts in it, because other producers leave
// fields empty.
func (s schemas) of(t reflect.Type) *jsonschema.Schema {
	moment := &jsonschema.Schema{Type: "string", Format: "date-time"}
	known := map[reflect.Type]*jsonschema.Schema{reflect.TypeFor[events.Time](): moment, reflect.TypeFor[time.Time](): moment}
	for _, f := range reflect.VisibleFields(t) {
		element := f.Type
		for element.Kind() == reflect.Slice || element.Kind() == reflect.Pointer {
			element = element.Elem()
		}
		if !f.Anonymous && !isEmbedded(f) && element.Kind() == reflect.Struct && known[element] == nil {
			known[element] = s.define(element)
		}
	}
	schema := infer(t, known)
	for _, f := range reflect.VisibleFields(t) {
		if isEmbedded(f) {
			inner, isField := s.of(f.Type), func(name string) bool { return name == f.Name }
			schema.Required = slices.Concat(inner.Required, slices.DeleteFunc(schema.Required, isField))
			schema.PropertyOrder = slices.Concat(inner.PropertyOrder, slices.DeleteFunc(schema.PropertyOrder, isField))
			delete(schema.Properties, f.Name)
			maps.Copy(schema.Properties, inner.Properties)
		}
	}
	for _, d := range events.Catalogue() {
		if reflect.TypeOf(d.Payload()).Elem() == t {
			for _, r := range d.Rules() {
				at(schema, r.Pointer).Description = sentence(r)
			}
		}
	}
	return schema
}

// isEmbedded reports whether json/v2 writes a field's own fields in its place.
func isEmbedded(f reflect.StructField) bool { return f.Tag.Get("json") == ",embed" }

func infer(t reflect.Type, known map[reflect.Type]*jsonschema.Schema) *jsonschema.Schema {
	schema, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: known, IgnoreInvalidTypes: true})
	if err != nil {
		panic(fmt.Sprintf("docs: %v", err)) // a type without a schema is a mistake in the program
	}
	schema.AdditionalProperties = nil
	for _, p := range schema.Properties {
		if slices.Equal(p.Types, []string{"null", "array"}) { // json/v2 writes a nil list as []
			p.Type, p.Types = "array", nil
		}
		if p.Ref != "" { // a pointer that is left out if it is nil
			p.Types = nil
		}
	}
	return schema
}

// componentName is the name of a type in a document: a resource has that of what it embeds.
func componentName(t reflect.Type) string {
	for _, f := range reflect.VisibleFields(t) {
		if isEmbedded(f) {
			t = f.Type
		}
	}
	if entry, ok := t.FieldByName("Items"); ok {
		return componentName(entry.Type.Elem()) + "List"
	}
	name := strings.TrimSuffix(t.Name(), "Created")
	return strings.ToUpper(name[:1]) + name[1:]
}

// body is the schema of a command: strict, with the rules of the event that it makes.
func body(command reflect.Type, rules []events.Rule) *jsonschema.Schema {
	schema := infer(command, nil)
	schema.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	schema.Required = nil
	for _, r := range rules {
		name := strings.Split(r.Pointer, "/")[1]
		property := at(schema, r.Pointer)
		if property == nil {
			continue // the factory's: id and timestamp
		}
		property.Description = sentence(r)
		if r.Max > 0 && r.Kind == events.List {
			property.MinItems, property.MaxItems = jsonschema.Ptr(1), &r.Max
		} else if r.Max > 0 {
			property.MaxLength = &r.Max
		}
		if r.Kind == events.Email {
			property.Format = "email"
		}
		for _, value := range r.Values {
			property.Enum = append(property.Enum, value)
		}
		if r.Required {
			if property.Type == "string" {
				property.MinLength = jsonschema.Ptr(1)
			}
			if !slices.Contains(schema.Required, name) {
				schema.Required = append(schema.Required, name)
			}
		}
	}
	return schema
}

// at is the schema of the field at a pointer; nil = there is none.
func at(schema *jsonschema.Schema, pointer string) *jsonschema.Schema {
	for name := range strings.SplitSeq(pointer[1:], "/") {
		if schema = cmp.Or(schema.Properties[name], schema.Items); schema == nil {
			return nil
		}
	}
	return schema
}

func sentence(r events.Rule) string {
	texts := map[events.RuleKind]string{
		events.Line:      fmt.Sprintf("One line of at most %d characters.", r.Max),
		events.Prose:     fmt.Sprintf("At most %d characters; line breaks and tabs are allowed.", r.Max),
		events.ID:        fmt.Sprintf("At most %d visible characters, without spaces.", r.Max),
		events.Email:     "One e-mail address.",
		events.Phone:     "One phone number of 4 to 17 digits, such as +49 30 1234567 ext. 12.",
		events.OneOf:     "One of: " + strings.Join(r.Values, ", ") + ".",
		events.List:      fmt.Sprintf("1 to %d entries.", r.Max),
		events.Timestamp: "When it happened, in RFC 3339.",
	}
	return texts[r.Kind]
}
