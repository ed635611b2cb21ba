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

// parameter is a field that a query reads from path or query string.
type parameter struct {
	name        string
	path        bool
	index       []int
	fallback    string   // the default; "" = none
	oneof       []string // of a string; none = any
	least, most int      // of an int
}

// parametersOf reads a type's tags. It panics where they are wrong, which shows when the program starts.
func parametersOf(t reflect.Type) (ps parameters) {
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get
		p := parameter{
			name: tag("path") + tag("query"), path: tag("path") != "", index: f.Index,
			fallback: tag("default"), oneof: strings.Fields(tag("oneof")),
		}
		if p.name == "" {
			continue
		}
		var errs [2]error
		if f.Type.Kind() == reflect.Int {
			p.least, errs[0] = strconv.Atoi(tag("min"))
			p.most, errs[1] = strconv.Atoi(tag("max"))
		}
		fits := f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.String || f.Type == reflect.TypeFor[time.Time]()
		if !fits || errs[0] != nil || errs[1] != nil {
			panic(fmt.Sprintf("web: %v.%s: a parameter is a string, a time.Time, or an int with min and max", t, f.Name))
		}
		ps = append(ps, p)
	}
	return ps
}

// read sets the parameter's field of v. "" = the texts are acceptable.
func (p parameter) read(v reflect.Value, texts []string) (fault string) {
	text, field := texts[0], v.FieldByIndex(p.index)
	switch {
	case len(texts) > 1:
		return "is a duplicate; send it once"
	case text == "":
		return "is empty; give it a value or leave it out"
	case !utf8.ValidString(text):
		return "is not UTF-8"
	}
	switch field.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil || n < p.least || n > p.most || text[0] == '+' {
			return fmt.Sprintf("must be a whole number from %d to %d", p.least, p.most)
		}
		field.SetInt(int64(n))
	case reflect.String:
		if len(p.oneof) > 0 && !slices.Contains(p.oneof, text) {
			return "must be one of: " + strings.Join(p.oneof, ", ")
		}
		field.SetString(text)
	default:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t, err = time.Parse(time.DateOnly, text)
		}
		if err != nil { // in a query string the + of an offset means a space
			return "must be a time such as 2026-11-23T06:54:21Z (write + as %2B) or a date such as 2026-11-23"
		}
		field.Set(reflect.ValueOf(t))
	}
	return ""
}
