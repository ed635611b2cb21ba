package events

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// recordFault is where a record is faulty. The library's own text is not for logs: it quotes the record.
func recordFault(err error) string {
	var wrong *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends in the middle"
	case errors.As(err, &wrong):
		// The pointer has names of our own fields only: values of unknown ones are skipped.
		where := strings.ReplaceAll(strings.TrimPrefix(string(wrong.JSONPointer), "/"), "/", ".")
		if where == "" {
			where = "the whole value"
		}
		return where + " " + TypeFault(wrong)
	case errors.As(err, &syntax):
		return fmt.Sprintf("the syntax is wrong at byte %d", syntax.ByteOffset)
	}
	return "it cannot be read"
}

var kindNames = map[jsontext.Kind]string{
	'n': "null", 't': "true", 'f': "false", '"': "a string", '0': "a number", '{': "an object", '[': "a list",
}

// TypeFault describes a value of the wrong JSON type, without its content: "is a number and must be a string".
func TypeFault(err *json.SemanticError) string {
	must := "a number"
	switch t := err.GoType; {
	case errors.Is(err, errTime):
		return "is " + errTime.Error()
	case t == reflect.TypeFor[Time](), t != nil && t.Kind() == reflect.String:
		must = "a string"
	case t == nil, t.Kind() == reflect.Struct:
		must = "an object"
	case t.Kind() == reflect.Slice:
		must = "a list"
	case t.Kind() == reflect.Bool:
		must = "true or false"
	}
	if is := kindNames[err.JSONKind]; is != "" && is != must {
		return "is " + is + " and must be " + must
	}
	return "cannot be read as " + must
}
