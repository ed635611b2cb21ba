package trigger

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// PayloadError is why a payload cannot be read, and where. It contains none of the payload's values.
type PayloadError struct {
	Pointer string // a JSON pointer (RFC 6901) to the fault; "" = the whole payload
	Reason  string
}

func (e *PayloadError) Error() string {
	where := ""
	if e.Pointer != "" {
		where = " at " + e.Pointer
	}
	return fmt.Sprintf("the payload cannot be read as a batch of Kafka records%s: %s; nothing of it was handled", where, e.Reason)
}

// newPayloadError makes one of an error of package json, whose own texts may quote the payload.
func newPayloadError(err error) *PayloadError {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		return &PayloadError{shown(semantic.JSONPointer), "a value of another JSON type, a whole number or base64 must be here"}
	case errors.As(err, &syntactic):
		return &PayloadError{shown(syntactic.JSONPointer), "it is not valid JSON, has a member twice, or ends in the middle"}
	}
	return &PayloadError{Reason: "it is not valid JSON, or ends in the middle"}
}

// shown is a pointer down to a record's member, or to one of its headers, but not to that header's key.
func shown(p jsontext.Pointer) string {
	tokens := strings.Split(string(p), "/")
	if at := strings.Join(tokens[:min(len(tokens), 6)], "/"); len(at) < 400 { // a topic's name has at most 249 characters
		return at
	}
	return ""
}
