package web

import (
	"fmt"
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
	switch {
	case f.Type == reflect.TypeFor[time.Time]():
		return setTime
	case f.Type.Kind() == reflect.String:
		return setString(strings.Fields(f.Tag.Get("oneof")))
	case f.Type.Kind() == reflect.Int:
		least, errMin := strconv.Atoi(f.Tag.Get("min"))
		most, errMax := strconv.Atoi(f.Tag.Get("max"))
		if errMin == nil && errMax == nil {
			return setInt(least, most)
		}
	}
	panic(fmt.Sprintf("web: %v.%s: a parameter is a string, a time.Time, or an int with min and max", t, f.Name))
}

func setString(oneof []string) func(reflect.Value, string) string {
	return func(field reflect.Value, text string) string {
		if len(oneof) > 0 && !slices.Contains(oneof, text) {
			return "must be one of: " + strings.Join(oneof, ", ")
		}
		field.SetString(text)
		return ""
	}
}

func setInt(least, most int) func(reflect.Value, string) string {
	return func(field reflect.Value, text string) string {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most || strings.HasPrefix(text, "+") {
			return fmt.Sprintf("must be a whole number from %d to %d", least, most)
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
