package web

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/events"
)

// HandleQuery makes the endpoint of a query. Each field of In with a tag `path:"id"` or `query:"city"` is filled in; embedded
// structs are flattened. Its type and further tags define what is accepted:
//
//	string      1 character or more; oneof:"contact machine" lists the values
//	int         a whole number from min:"1" to max:"100"
//	time.Time   RFC 3339, or a date, which is its first moment in UTC
//
// The tag doc:"..." describes it in documents.
//
// An absent query parameter has the value of the tag default:"20", or is zero. One that is unknown, duplicate, empty,
// malformed, out of range or not UTF-8 is 400, all of them in one answer, as is an Invalid error of h (see [Problem] for
// others). It answers 200.
//
// A query with a path value reads one resource: with Prefer: wait=N (RFC 7240) it waits up to N seconds, at most 20, while h
// returns events.NotFound, and reports that in Preference-Applied. It calls h again after 1 ms, then ever more slowly up to
// 250 ms.
//
// Out is encoded by the rules of encoding/json/v2: a nil list is [], and omitempty omits "", [], {} and null, not 0 and false,
// for which there is omitzero.
func HandleQuery[In, Out any](h func(context.Context, In) (Out, error)) Endpoint {
	fields := reflect.VisibleFields(reflect.TypeFor[In]())
	byPath := slices.ContainsFunc(fields, func(f reflect.StructField) bool { return f.Tag.Get("path") != "" })
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if faults := readParameters(fields, r, reflect.ValueOf(&in).Elem()); len(faults) > 0 {
			invalidParameters.with(invalidParameters.Detail, faults...).Write(w, r)
			return
		}
		get := func() (Out, error) { return h(r.Context(), in) }
		var out Out
		var err error
		if byPath {
			out, err = waitUntilFound(w, r, get)
		} else {
			out, err = get()
		}
		if err != nil {
			fail(w, r, err, invalidParameters)
			return
		}
		writeJSON(w, r, http.StatusOK, "application/json", &out)
	})
	return Endpoint{Handler: handler, In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out]()}
}

// readParameters fills v, a struct with these fields, from path and query string.
func readParameters(fields []reflect.StructField, r *http.Request, v reflect.Value) (faults []events.FieldError) {
	fault := func(name, detail string) {
		if detail != "" {
			faults = append(faults, events.FieldError{Pointer: string(jsontext.Pointer("").AppendToken(name)), Detail: detail})
		}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		faults = append(faults, events.FieldError{
			Detail: "the query string is malformed: two hex digits must follow each %, and ; is written %3B"})
	}
	var known []string
	for _, f := range fields {
		if name := f.Tag.Get("path"); name != "" {
			fault(name, readParameter(f.Tag, v.FieldByIndex(f.Index), r.PathValue(name)))
		}
		name := f.Tag.Get("query")
		if name == "" {
			continue
		}
		given := values[name]
		known = append(known, name)
		delete(values, name)
		if fallback := f.Tag.Get("default"); given == nil && fallback != "" {
			given = []string{fallback}
		}
		if len(given) > 1 {
			fault(name, "is a duplicate; send it once")
		} else if given != nil {
			fault(name, readParameter(f.Tag, v.FieldByIndex(f.Index), given[0]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fault(name, "is unknown; known are "+cmp.Or(strings.Join(known, ", "), "none"))
	}
	return faults
}

// readParameter sets a field. "" = the text is acceptable.
func readParameter(tag reflect.StructTag, field reflect.Value, text string) (fault string) {
	switch {
	case text == "":
		return "is empty; give it a value or leave it out"
	case !utf8.ValidString(text):
		return "is not UTF-8"
	}
	switch field := field.Addr().Interface().(type) {
	case *int:
		least, _ := strconv.Atoi(tag.Get("min"))
		most, _ := strconv.Atoi(tag.Get("max"))
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return fmt.Sprintf("must be a whole number from %d to %d", least, most)
		}
		*field = n
	case *string:
		if allowed := strings.Fields(tag.Get("oneof")); len(allowed) > 0 && !slices.Contains(allowed, text) {
			return "must be one of: " + strings.Join(allowed, ", ")
		}
		*field = text
	case *time.Time:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t, err = time.Parse(time.DateOnly, text)
		}
		if err != nil { // in a query string the + of an offset means a space
			return "must be a time such as 2026-11-23T06:54:21Z (write + as %2B) or a date such as 2026-11-23"
		}
		*field = t
	default:
		panic(fmt.Sprintf("web: a parameter of type %T", field))
	}
	return ""
}
