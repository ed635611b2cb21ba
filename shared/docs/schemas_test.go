package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

const released = "../events/testdata/schemas"

// What was released stays on the topics forever, so every later reader must understand it.
func TestReadersStillReadWhatWasReleased(t *testing.T) {
	t.Parallel()
	for _, d := range events.Catalogue() {
		path := filepath.Join(released, d.Topic+".json")
		now := schemaOf(t, d.Topic)
		b, err := os.ReadFile(path)
		if err == nil {
			var then jsonschema.Schema
			require.NoError(t, json.Unmarshal(b, &then))
			broken, added := compareSchemas("", &then, now)
			assert.Empty(t, broken, "%s: undo this, or make another event type: events of the released form stay on the topic", d.Topic)
			if len(broken) > 0 || len(added) == 0 {
				continue
			}
			assert.NotEmpty(t, os.Getenv("UPDATE"), "%s: %s: when it is final, release it: UPDATE=1 go test ./shared/docs",
				d.Topic, strings.Join(added, ", "))
		}
		if os.Getenv("UPDATE") == "" {
			require.NoError(t, err, "release the type's schema: UPDATE=1 go test ./shared/docs")
			continue
		}
		text, err := json.MarshalIndent(now, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(released, 0o755))
		require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o644))
	}
	files, err := filepath.Glob(released + "/*.json")
	require.NoError(t, err)
	for _, file := range files {
		_, listed := events.Lookup(strings.TrimSuffix(filepath.Base(file), ".json"))
		assert.True(t, listed, "%s is the schema of no type: a released type must stay", file)
	}
}

// schemaOf is the schema of a topic's events, without references and texts.
func schemaOf(t *testing.T, topic string) *jsonschema.Schema {
	var document struct {
		Components struct {
			Schemas  map[string]*jsonschema.Schema
			Messages map[string]struct {
				Title   string
				Payload *jsonschema.Schema
			}
		}
	}
	require.NoError(t, json.Unmarshal(asyncAPI(), &document))
	var plain func(s *jsonschema.Schema) *jsonschema.Schema
	plain = func(s *jsonschema.Schema) *jsonschema.Schema {
		if s == nil {
			return nil
		}
		if _, name, ok := strings.Cut(s.Ref, "#/components/schemas/"); ok {
			return plain(document.Components.Schemas[name])
		}
		s.Description, s.Items = "", plain(s.Items)
		for name, p := range s.Properties {
			s.Properties[name] = plain(p)
		}
		return s
	}
	for _, m := range document.Components.Messages {
		if m.Title == topic {
			return plain(m.Payload)
		}
	}
	require.Fail(t, "no message", topic)
	return nil
}

// compareSchemas lists what breaks readers of the earlier form, and what is new in the later one.
func compareSchemas(path string, then, now *jsonschema.Schema) (broken, added []string) {
	if now == nil {
		return []string{path + " was removed or renamed"}, nil
	}
	kind := func(s *jsonschema.Schema) any { return []any{s.Type, s.Types, s.Format, s.Const} }
	if !reflect.DeepEqual(kind(then), kind(now)) {
		broken = append(broken, fmt.Sprintf("%s has another type", path))
	}
	for _, name := range now.Required {
		if !slices.Contains(then.Required, name) {
			broken = append(broken, path+"/"+name+" is required when reading, and was not")
		}
	}
	if then.Items != nil {
		broken = append(broken, first(compareSchemas(path+"/0", then.Items, now.Items))...)
	}
	for _, name := range slices.Sorted(maps.Keys(then.Properties)) {
		b, a := compareSchemas(path+"/"+name, then.Properties[name], now.Properties[name])
		broken, added = append(broken, b...), append(added, a...)
	}
	for _, name := range slices.Sorted(maps.Keys(now.Properties)) {
		if then.Properties[name] == nil {
			added = append(added, path+"/"+name+" is new")
		}
	}
	return broken, added
}

func first(broken, _ []string) []string { return broken }

func TestSchemasThatBreakReadersAreNamed(t *testing.T) {
	t.Parallel()
	const then = `{"type":"object","required":["id"],
		"properties":{"id":{"type":"string"},"list":{"type":"array","items":{"type":"string"}}}}`
	for _, c := range []struct{ old, later, want string }{
		{``, ``, ""},
		{`"required":["id"],`, ``, ""},
		{`"id":{`, `"more":{"type":"string"},"id":{`, ""},
		{`"list":{`, `"lists":{`, "/list was removed or renamed"},
		{`"id":{"type":"string"}`, `"id":{"type":"integer"}`, "/id has another type"},
		{`"items":{"type":"string"}`, `"items":{"type":"number"}`, "/list/0 has another type"},
		{`["id"]`, `["id","list"]`, "/list is required when reading, and was not"},
	} {
		var a, b jsonschema.Schema
		require.NoError(t, json.Unmarshal([]byte(then), &a))
		require.NoError(t, json.Unmarshal([]byte(strings.Replace(then, c.old, c.later, 1)), &b))
		broken, _ := compareSchemas("", &a, &b)
		assert.Equal(t, c.want, strings.Join(broken, ", "), c.later)
	}
}
