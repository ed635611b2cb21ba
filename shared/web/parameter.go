package web

import (
	"cmp"
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

	"github.com/sipeat/sipeat/shared/events"
)

// parameter is a field that a query reads from path or query string.
type parameter struct {
	name        string
	path        bool
	index       []int
	fallback    string   // the default; "" = none
	oneof       []string // of a string; none = any
	least, most int      // of an int
}

// parametersOf reads a type's tags, see [HandleQuery].
func parametersOf(t reflect.Type) (ps []parameter) {
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get
		p := parameter{name: tag("path") + tag("query"), path: tag("path") != "", index: f.Index, fallback: tag("default"),
			oneof: strings.Fields(tag("oneof"))}
		p.least, _ = strconv.Atoi(tag("min"))
		p.most, _ = strconv.Atoi(tag("max"))
		if p.name != "" {
			ps = append(ps, p)
		}
	}
	return ps
}

// readParameters fills v from path and query string.
func readParameters(ps []parameter, r *http.Request, v reflect.Value) (faults []events.FieldError) {
	fault := func(name, detail string) {
		if detail != "" {
			name = strings.NewReplacer("~", "~0", "/", "~1").Replace(strings.ToValidUTF8(name, "\uFFFD")) // RFC 6901
			faults = append(faults, events.FieldError{Pointer: "/" + name, Detail: detail})
		}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		faults = append(faults, events.FieldError{
			Detail: "the query string is malformed: two hex digits must follow each %, and ; is written %3B"})
	}
	var known []string
	for _, p := range ps {
		given := values[p.name]
		if p.path {
			given = []string{r.PathValue(p.name)}
		} else {
			known = append(known, p.name)
			delete(values, p.name)
		}
		switch {
		case given != nil:
			fault(p.name, p.read(v, given))
		case p.fallback != "":
			p.read(v, []string{p.fallback})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fault(name, "is unknown; known are "+cmp.Or(strings.Join(known, ", "), "none"))
	}
	return faults
}

// read sets the parameter's field of v. "" = the texts are acceptable.
func (p parameter) read(v reflect.Value, texts []string) (fault string) {
	text := texts[0]
	switch {
	case len(texts) > 1:
		return "is a duplicate; send it once"
	case text == "":
		return "is empty; give it a value or leave it out"
	case !utf8.ValidString(text):
		return "is not UTF-8"
	}
	switch field := v.FieldByIndex(p.index).Addr().Interface().(type) {
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || n < p.least || n > p.most || text[0] == '+' {
			return fmt.Sprintf("must be a whole number from %d to %d", p.least, p.most)
		}
		*field = n
	case *string:
		if len(p.oneof) > 0 && !slices.Contains(p.oneof, text) {
			return "must be one of: " + strings.Join(p.oneof, ", ")
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
