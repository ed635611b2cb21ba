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
type parameters []parameter

type parameter struct {
	name     string
	path     bool
	index    []int
	fallback string                                                // the default; "" = none
	set      func(field reflect.Value, text string) (fault string) // of text that is not empty and UTF-8
}

// pathNames are the names that the route must have, sorted; [Router] compares them.
func (ps parameters) pathNames() (names []string) {
	for _, p := range ps {
		if p.path {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	return names
}

// read sets the parameter's field of v. "" = the text is acceptable.
func (p parameter) read(v reflect.Value, text string) (fault string) {
	switch {
	case text == "":
		return "is empty; give it a value or leave it out"
	case !utf8.ValidString(text):
		return "is not UTF-8"
	}
	return p.set(v.FieldByIndex(p.index), text)
}

// parametersOf reads a type's tags. It panics where they are wrong, which shows when the program starts.
func parametersOf(t reflect.Type) (ps parameters) {
	for _, f := range reflect.VisibleFields(t) {
		inPath, inQuery := f.Tag.Get("path"), f.Tag.Get("query")
		if inPath+inQuery == "" {
			continue
		}
		p := parameter{name: inPath + inQuery, path: inPath != "", index: f.Index, fallback: f.Tag.Get("default"), set: setterOf(t, f)}
		if p.fallback != "" {
			if fault := p.read(reflect.New(t).Elem(), p.fallback); fault != "" {
				panic(fmt.Sprintf("web: the default of %v.%s %s", t, f.Name, fault))
			}
		}
		ps = append(ps, p)
	}
	return ps
}

func setterOf(t reflect.Type, f reflect.StructField) func(reflect.Value, string) string {
	bound := func(tag string, otherwise int) int {
		text, given := f.Tag.Lookup(tag)
		if !given {
			return otherwise
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(fmt.Sprintf("web: %v.%s: %s:%q is not a number", t, f.Name, tag, text))
		}
		return n
	}
	switch {
	case f.Type == reflect.TypeFor[time.Time]():
		return setTime
	case f.Type.Kind() == reflect.Int:
		return setInt(bound("min", math.MinInt), bound("max", math.MaxInt))
	case f.Type.Kind() == reflect.String:
		return setString(strings.Fields(f.Tag.Get("oneof")), bound("max", math.MaxInt))
	}
	panic(fmt.Sprintf("web: %v.%s: a %v cannot be read from a parameter", t, f.Name, f.Type))
}

func setString(oneof []string, most int) func(reflect.Value, string) string {
	return func(field reflect.Value, text string) string {
		if len(oneof) > 0 && !slices.Contains(oneof, text) {
			return "must be one of: " + strings.Join(oneof, ", ")
		}
		if utf8.RuneCountInString(text) > most {
			return fmt.Sprintf("is longer than %d characters", most)
		}
		field.SetString(text)
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
	return func(field reflect.Value, text string) string {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most || strings.HasPrefix(text, "+") {
			return want
		}
		field.SetInt(int64(n))
		return ""
	}
}

func setTime(field reflect.Value, text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		// In a query string the + of an offset means a space.
		return "must be a time such as 2026-11-23T06:54:21Z (write + as %2B) or a date such as 2026-11-23"
	}
	field.Set(reflect.ValueOf(t))
	return ""
}
