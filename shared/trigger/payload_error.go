package trigger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// PayloadError says why a payload cannot be read, and where. It has none of the payload's values.
type PayloadError struct {
	Offset  int    // the byte at which reading ended; 0 = it was read to its end
	Pointer string // a JSON pointer (RFC 6901) to the fault; "" = the whole payload
	Reason  string
}

func (e *PayloadError) Error() string {
	where := fmt.Sprintf("byte %d", e.Offset)
	if e.Pointer != "" {
		where += ", " + e.Pointer
	}
	const format = "the payload cannot be read as a batch of Kafka records (%s): %s; nothing of it was handled"
	return fmt.Sprintf(format, where, e.Reason)
}

// reason is a fault whose text has nothing of the payload.
type reason string

func (r reason) Error() string { return string(r) }

// newPayloadError makes one of an error of package json, whose own texts may quote the payload.
func newPayloadError(err error) *PayloadError {
	e := &PayloadError{Reason: "a value of another JSON type must be here"}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	var own reason
	switch {
	case errors.As(err, &own):
		e.Reason = string(own)
	case errors.As(err, new(base64.CorruptInputError)):
		e.Reason = "it is not base64"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = "it ends in the middle"
	case errors.As(err, &syntactic):
		e.Reason = "it is not valid JSON, or has a member twice"
	}
	switch {
	case errors.As(err, &semantic):
		e.Offset, e.Pointer = int(semantic.ByteOffset), shown(semantic.JSONPointer)
	case errors.As(err, &syntactic):
		e.Offset, e.Pointer = int(syntactic.ByteOffset), shown(syntactic.JSONPointer)
	}
	return e
}

// shown is a pointer down to a record's member, or to one of its headers, but not to that header's key.
func shown(p jsontext.Pointer) string {
	tokens := strings.Split(string(p), "/")
	if at := strings.Join(tokens[:min(len(tokens), 6)], "/"); len(at) < 400 { // a topic's name has at most 249 characters
		return at
	}
	return ""
}
