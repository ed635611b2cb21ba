package web

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// parameters are what a query reads from path and query string.
type parameters struct {
	path, query []parameter
}

type parameter struct {
	name     string
	index    []int
	set      func(v reflect.Value, text string) (fault string)
	fallback reflect.Value // the default; not valid = none
}

// pathNames are the names that the route must have, sorted; [Router] compares them.
func (ps *parameters) pathNames() []string {
	var names []string
	for _, p := range ps.path {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// parametersOf reads a type's tags. It panics on a mistake in them: that shows at the program's start.
func parametersOf(t reflect.Type) parameters {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("web: parameters are read into a struct, not into %v", t))
	}
	var ps parameters
	taken := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		inPath, inQuery := f.Tag.Get("path"), f.Tag.Get("query")
		name := inPath + inQuery
		if f.Anonymous && f.Type.Kind() == reflect.Pointer {
			panic(fmt.Sprintf("web: %v.%s: an embedded pointer cannot be filled", t, f.Name))
		}
		if name == "" {
			continue
		}
		if !f.IsExported() || inPath != "" && inQuery != "" || taken[name] {
			panic(fmt.Sprintf("web: %v.%s: the field is not exported or the name %q is there twice", t, f.Name, name))
		}
		taken[name] = true
		p := parameter{name: name, index: f.Index, set: setterOf(t, f)}
		if text, ok := f.Tag.Lookup("default"); ok {
			p.fallback = reflect.New(f.Type).Elem()
			if fault := p.set(p.fallback, text); fault != "" {
				panic(fmt.Sprintf("web: %v.%s: the default %q %s", t, f.Name, text, fault))
			}
		}
		if inPath != "" {
			ps.path = append(ps.path, p)
		} else {
			ps.query = append(ps.query, p)
		}
	}
	return ps
}

func setterOf(t reflect.Type, f reflect.StructField) func(reflect.Value, string) string {
	var set func(reflect.Value, string) string
	switch {
	case f.Type == reflect.TypeFor[time.Time]():
		set = setTime
	case f.Type.Kind() == reflect.Int, f.Type.Kind() == reflect.Int64:
		set = setInt(bound(t, f, "min", math.MinInt), bound(t, f, "max", math.MaxInt))
	case f.Type.Kind() == reflect.String:
		set = setString(strings.Fields(f.Tag.Get("oneof")), bound(t, f, "max", math.MaxInt))
	default:
		panic(fmt.Sprintf("web: %v.%s: a %v cannot be read from a parameter", t, f.Name, f.Type))
	}
	return func(v reflect.Value, text string) string {
		switch {
		case text == "":
			return "is empty; give it a value or leave it out"
		case !utf8.ValidString(text):
			return "is not UTF-8"
		}
		return set(v, text)
	}
}

func bound(t reflect.Type, f reflect.StructField, tag string, otherwise int) int {
	text, ok := f.Tag.Lookup(tag)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("web: %v.%s: %s:%q is no number", t, f.Name, tag, text))
	}
	return n
}

func setString(oneof []string, most int) func(reflect.Value, string) string {
	return func(v reflect.Value, text string) string {
		if len(oneof) > 0 && !slices.Contains(oneof, text) {
			return "must be one of " + strings.Join(oneof, ", ")
		}
		if utf8.RuneCountInString(text) > most {
			return fmt.Sprintf("must have at most %d characters", most)
		}
		v.SetString(text)
		return ""
	}
}

func setInt(least, most int) func(reflect.Value, string) string {
	want := "must be a whole number"
	switch {
	case least != math.MinInt && most != math.MaxInt:
		want += fmt.Sprintf(" from %d to %d", least, most)
	case least != math.MinInt:
		want += fmt.Sprintf(" of at least %d", least)
	case most != math.MaxInt:
		want += fmt.Sprintf(" of at most %d", most)
	}
	return func(v reflect.Value, text string) string {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most || strings.HasPrefix(text, "+") {
			return want
		}
		v.SetInt(int64(n))
		return ""
	}
}

func setTime(v reflect.Value, text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		if strings.Contains(text, " ") { // the + of an offset, which in a query string means a space
			return "must be a time such as 2026-11-23T06:54:21Z or a date such as 2026-11-23; write + as %2B"
		}
		return "must be a time such as 2026-11-23T06:54:21Z or a date such as 2026-11-23"
	}
	v.Set(reflect.ValueOf(t))
	return ""
}
