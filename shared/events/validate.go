package events

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Validate checks a payload, or a command's input, in full. What is wrong comes back as one Invalid error that names
// every faulty field. It is for what is being written: what comes from a topic is only ever decoded.
//
// A field's rules are in its tag `validate`, separated by commas; the first that it breaks is told:
//
//	required                     it is not empty
//	omitempty                    it may be empty, whatever is said behind
//	min=N, max=N                 characters of a text, entries of a list, or how large a number is
//	oneof=a b                    it is one of these
//	text, prose, token           see isText, isProse, isToken
//	address, phone, moment       see isAddress, isPhone, isMoment
//	dive                         what is said behind is for each entry of the list
//
// It panics on a tag that says something else, or what its field cannot be asked. The walk is our own: go-playground/validator, in whose tags this is, fills
// tables of countries and formats when a process starts and calls methods by name, so that the linker keeps all there are. It
// was a fifth of a Lambda function's init and a third of its binary.
func Validate(value any) error {
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("events: a %T has no fields to check", value)
	}
	invalid := &Error{Kind: Invalid, Message: "some fields are not acceptable"}
	for _, f := range fieldsOf(v.Type()) {
		invalid.Fields = check(invalid.Fields, v.FieldByIndex(f.index), f.pointer, f.rules)
	}
	if invalid.Fields == nil {
		return nil
	}
	return invalid
}

// field is one that has rules.
type field struct {
	index   []int
	pointer string // RFC 6901, where it stands in JSON
	rules   []rule
}

type rule struct {
	name, param string
	number      int               // of min and max
	holds       func(string) bool // of those that look at a text alone
}

var texts = map[string]func(string) bool{
	"text": isText, "prose": isProse, "token": isToken, "address": isAddress, "phone": isPhone, "moment": isMoment,
}

var known sync.Map // of types: their []field

func fieldsOf(t reflect.Type) []field {
	if fields, ok := known.Load(t); ok {
		return fields.([]field)
	}
	fields := readFields(nil, t, nil, "")
	known.Store(t, fields)
	return fields
}

// readFields finds the fields of a struct and of those in it; the fields of an embedded one stand on its level, as in JSON.
func readFields(fields []field, t reflect.Type, index []int, pointer string) []field {
	for i := range t.NumField() {
		f := t.Field(i)
		at := slices.Concat(index, []int{i})
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch tag := f.Tag.Get("validate"); {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			fields = readFields(fields, f.Type, at, pointer)
		case tag != "":
			fields = append(fields, field{at, pointer + "/" + name, readRules(t, f, tag)})
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Time]():
			fields = readFields(fields, f.Type, at, pointer+"/"+name)
		}
	}
	return fields
}

func readRules(t reflect.Type, f reflect.StructField, tag string) (rules []rule) {
	for said := range strings.SplitSeq(tag, ",") {
		r := rule{}
		r.name, r.param, _ = strings.Cut(said, "=")
		var ok bool
		switch r.name {
		case "required", "omitempty", "dive":
			ok = r.param == ""
		case "oneof":
			ok = r.param != ""
		case "min", "max":
			var err error
			r.number, err = strconv.Atoi(r.param)
			ok = err == nil
		default:
			r.holds = texts[r.name]
			ok = r.holds != nil && r.param == ""
		}
		if !ok {
			panic(fmt.Sprintf("events: %s.%s: there is no rule %q", t, f.Name, said))
		}
		if kind := asked(f.Type, rules); !r.suits(kind) {
			panic(fmt.Sprintf("events: %s.%s: the rule %q is not for a %s", t, f.Name, said, kind))
		}
		rules = append(rules, r)
	}
	return rules
}

// asked is what the rule behind these is for: the field, or an entry of it.
func asked(t reflect.Type, before []rule) reflect.Type {
	for _, r := range before {
		if r.name == "dive" && t.Kind() == reflect.Slice {
			t = t.Elem()
		}
	}
	return t
}

func (r rule) suits(t reflect.Type) bool {
	text := t.Kind() == reflect.String || t == reflect.TypeFor[Time]()
	switch r.name {
	case "dive":
		return t.Kind() == reflect.Slice
	case "min", "max":
		return text || t.Kind() == reflect.Slice || isNumber(t.Kind())
	case "required", "omitempty":
		return true
	default:
		return text
	}
}

func isNumber(k reflect.Kind) bool { return reflect.Int <= k && k <= reflect.Float64 }

// check appends the first fault of a value, or, of a list, of each entry.
func check(faults []FieldError, v reflect.Value, pointer string, rules []rule) []FieldError {
	for i, r := range rules {
		switch {
		case r.name == "omitempty":
			if v.IsZero() {
				return faults
			}
		case r.name == "dive":
			for entry := range v.Len() {
				faults = check(faults, v.Index(entry), pointer+"/"+strconv.Itoa(entry), rules[i+1:])
			}
			return faults
		case !r.allows(v):
			return append(faults, FieldError{Pointer: pointer, Detail: detail(r, v)})
		}
	}
	return faults
}

func (r rule) allows(v reflect.Value) bool {
	switch r.name {
	case "required":
		return !v.IsZero()
	case "min":
		return size(v) >= float64(r.number)
	case "max":
		return size(v) <= float64(r.number)
	case "oneof":
		for choice := range strings.FieldsSeq(r.param) {
			if v.String() == choice {
				return true
			}
		}
		return false
	}
	if t, ok := v.Interface().(Time); ok {
		return r.holds(t.String())
	}
	return r.holds(v.String())
}

func size(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String:
		return float64(utf8.RuneCountInString(v.String()))
	}
	return float64(v.Len())
}

// detail says what is wrong with a field and what to do, without what stands in it.
func detail(broken rule, v reflect.Value) string {
	text, isString := "", v.Kind() == reflect.String
	if isString {
		text = v.String()
	}
	if isString && isBlank(text) && broken.name != "oneof" {
		if text == "" {
			return "is required: it must not be empty or blank"
		}
		return "is blank: it must hold something that can be seen"
	}
	isList := v.Kind() == reflect.Slice
	if isNumber(v.Kind()) && broken.name != "required" {
		return map[string]string{"min": "is smaller than ", "max": "is larger than "}[broken.name] + broken.param
	}
	switch broken.name {
	case "max":
		if isList {
			return "has more than " + broken.param + " entries: send at most " + broken.param
		}
		return "is longer than " + broken.param + " characters: shorten it"
	case "min":
		return "needs at least " + broken.param + " entry"
	case "oneof":
		return "must be one of: " + strings.ReplaceAll(broken.param, " ", ", ")
	case "text":
		return "must be one line of text: without line breaks, tabs and hidden control characters"
	case "prose":
		return "must be text: without control characters other than line breaks and tabs"
	case "token", "address", "phone":
		if strings.ContainsFunc(text, func(r rune) bool { return r != ' ' && isHidden(r) }) {
			return "holds line breaks or hidden characters: type it in instead of pasting it"
		}
	}
	switch broken.name {
	case "token":
		return "must be an id: visible characters without spaces"
	case "address":
		return "must be one e-mail address, such as ada@example.com, with nothing before or behind it"
	case "phone":
		return "must be one phone number of 4 to 17 digits, such as +49 30 1234567 or +49 30 1234567 ext. 12"
	case "moment":
		return "must be a moment in the years 0 to 9999"
	default:
		return "does not satisfy " + broken.name
	}
}
