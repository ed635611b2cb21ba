package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/events"
)

// Decode reads one JSON object into the struct that into points to, as strictly as [HandleCommand] reads a body, for
// commands that come another way than by HTTP; the caller bounds their size. The error is Invalid and names the first fault.
func Decode(text []byte, into any) error {
	if p := decode(text, into); p != nil {
		return &events.Error{Kind: events.Invalid, Message: p.Detail, Fields: p.Errors}
	}
	return nil
}

// decode reads a body. The library refuses invalid UTF-8, duplicate members and names in another case by default. nil = all
// of it was read.
func decode(body []byte, into any) *Problem {
	if len(bytes.TrimSpace(body)) == 0 {
		return &Problem{Type: typeJSON, Status: 400, Detail: "The body is empty; send a JSON object."}
	}
	if bytes.IndexByte([]byte("[\"0tfn"), byte(jsontext.Value(body).Kind())) >= 0 { // null would be read as an empty object
		return &Problem{Type: typeJSON, Status: 400, Detail: "The body is not a JSON object; send one."}
	}
	err := json.Unmarshal(body, into, json.RejectUnknownMembers(true))
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &semantic):
		return unreadableField(body, semantic.ByteOffset, semantic.JSONPointer, fieldFault(semantic))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return unreadableField(body, syntax.ByteOffset, syntax.JSONPointer, "is a duplicate; send it once")
	case errors.Is(err, io.ErrUnexpectedEOF), !errors.As(err, &syntax):
		return &Problem{Type: typeJSON, Status: 400, Detail: "The JSON ends in the middle " + place(body, int64(len(body))) +
			"; send all of it."}
	}
	p := &Problem{Type: typeJSON, Status: 400, Detail: "Invalid JSON " + place(body, syntax.ByteOffset) + ": " +
		syntax.Err.Error() + "."}
	if syntax.JSONPointer != "" {
		p.Errors = []events.FieldError{{Pointer: string(syntax.JSONPointer), Detail: "cannot be read"}}
	}
	return p
}

func unreadableField(body []byte, offset int64, pointer jsontext.Pointer, detail string) *Problem {
	return &Problem{Type: typeUnreadable, Status: 400, Detail: "A field cannot be read " + place(body, offset) + "; see errors.",
		Errors: []events.FieldError{{Pointer: string(pointer), Detail: detail}}}
}

func fieldFault(err *json.SemanticError) string {
	if errors.Is(err, json.ErrUnknownName) {
		return "is unknown; known are " + strings.Join(memberNames(err.GoType), ", ")
	}
	return events.TypeFault(err)
}

func memberNames(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// place is where an offset is: lines and columns from 1, columns in characters, bytes from 0.
func place(body []byte, offset int64) string {
	before := body[:min(offset, int64(len(body)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("at line %d, column %d (byte %d)", line, column, len(before))
}
