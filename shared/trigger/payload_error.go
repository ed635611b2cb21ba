package trigger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// PayloadError says why a payload cannot be read, and where. It quotes nothing of the payload but names of topics.
type PayloadError struct {
	Offset  int    // the byte at which reading ended
	Pointer string // a JSON pointer (RFC 6901) to the fault; "" = the whole payload
	Reason  string
}

func (e *PayloadError) Error() string {
	where := fmt.Sprintf("byte %d", e.Offset)
	if e.Pointer != "" {
		where += ", " + e.Pointer
	}
	return fmt.Sprintf("the payload cannot be read as a batch of Kafka records (%s): %s; nothing of it was handled", where, e.Reason)
}

// fault is about what d has just read.
func fault(d *jsontext.Decoder, reason string) error {
	return &PayloadError{int(d.InputOffset()), shown(d.StackPointer()), reason}
}

// newPayloadError makes one of an error of package json, whose own texts may quote the payload.
func newPayloadError(err error) *PayloadError {
	e := &PayloadError{Reason: "a value of another JSON type must be here"}
	if errors.As(err, &e) {
		return e
	}
	if errors.As(err, new(base64.CorruptInputError)) {
		e.Reason = "it is not base64"
	}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		e.Offset, e.Pointer = int(semantic.ByteOffset), shown(semantic.JSONPointer)
	case errors.As(err, &syntactic):
		e.Offset, e.Pointer = int(syntactic.ByteOffset), shown(syntactic.JSONPointer)
		if e.Reason = "it is not valid JSON"; errors.Is(err, io.ErrUnexpectedEOF) {
			e.Reason = "it ends in the middle"
		}
	}
	return e
}

// shown leaves out what a pointer says below the members that AWS names.
func shown(p jsontext.Pointer) string {
	known := []string{"topic", "partition", "offset", "timestamp", "key", "value", "headers"}
	tokens := slices.Collect(p.Tokens())
	n := min(len(tokens), 5)
	switch {
	case n > 0 && tokens[0] != "records" && tokens[0] != "eventSource":
		n = 0
	case n > 3 && !slices.Contains(known, tokens[3]):
		n = 3
	case n == 5 && tokens[3] != "headers":
		n = 4
	}
	var b strings.Builder
	for _, token := range tokens[:n] {
		if len(token) > 260 { // a topic's name has at most 249 characters
			token = "…"
		}
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}
