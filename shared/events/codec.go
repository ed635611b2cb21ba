package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// tolerant reads what other programs write: JavaScript's JSON.stringify cuts an emoji into lone surrogates, and where a
// name stands twice JSON.parse takes the last.
var tolerant = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// ErrNotUnderstood marks a record that holds no event of its topic.
var ErrNotUnderstood = errors.New("not understood")

// Encode is the event as it stands on its topic.
func (e Event[T]) Encode() ([]byte, error) {
	b, err := json.Marshal(e, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", e.Type, LogID(e.ID), err)
	}
	return b, nil
}

// Decode reads an event of T from a record's value. It tolerates all that can be understood: unknown, null, missing and
// empty fields, no metadata, ids of any form, a byte order mark. In metadata a number counts as its text, and any other value
// that is no text as absent; only its timestamp must be one. A field of another JSON type than its own (a number where text is
// wanted) is not understood: which text it would be is a guess, and ids are compared by their text. What is refused is
// an Invalid error that wraps [ErrNotUnderstood] and says what is missing, without any of the event's content.
func Decode[T Payload](value []byte) (Event[T], error) {
	var wire struct {
		ID       string       `json:"eventId"`
		Type     string       `json:"eventType"`
		Data     *T           `json:"data"`
		Metadata wireMetadata `json:"metadata"`
	}
	var e Event[T]
	topic := e.Data.Topic()
	value = bytes.TrimPrefix(value, byteOrderMark)
	if len(bytes.TrimSpace(value)) == 0 {
		return e, notUnderstood("the record has no value")
	}
	if err := json.Unmarshal(value, &wire, tolerant); err != nil {
		return e, notUnderstood("not the JSON of a %s event: %s", topic, fault(err))
	}
	switch {
	case wire.ID == "":
		return e, notUnderstood("no eventId")
	case wire.Type == "":
		return e, notUnderstood("no eventType: on this topic it is %s", topic)
	case wire.Type != topic:
		return e, notUnderstood("the eventType is not the topic's, which is %s", topic)
	case wire.Data == nil:
		return e, notUnderstood("no data object")
	}
	if err := (*wire.Data).readable(); err != nil {
		return e, err
	}
	return Event[T]{ID: wire.ID, Type: wire.Type, Data: *wire.Data, Metadata: wire.Metadata.metadata()}, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// wireMetadata is metadata as other programs may write it.
type wireMetadata struct {
	Timestamp     Time      `json:"timestamp"`
	Producer      looseText `json:"producer"`
	CorrelationID looseText `json:"correlationId"`
	CausationID   looseText `json:"causationId"`
}

func (m *wireMetadata) metadata() Metadata {
	return Metadata{m.Timestamp, string(m.Producer), string(m.CorrelationID), string(m.CausationID)}
}

func (m *wireMetadata) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	type object wireMetadata
	return json.UnmarshalDecode(d, (*object)(m))
}

// looseText is the text of a string or a number, and empty for any other value.
type looseText string

func (t *looseText) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"', '0':
		token, err := d.ReadToken()
		*t = looseText(token.String())
		return err
	}
	*t = ""
	return d.SkipValue()
}

func notUnderstood(format string, args ...any) error {
	return Wrap(Invalid, ErrNotUnderstood, format, args...)
}

// fault says where a document is faulty. The library's own text is not for logs: it quotes the document.
func fault(err error) string {
	var wrong *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends in the middle"
	case errors.As(err, &wrong):
		// The pointer names fields of ours only: values of unknown ones are not looked at.
		where := strings.ReplaceAll(strings.TrimPrefix(string(wrong.JSONPointer), "/"), "/", ".")
		if where == "" {
			where = "the whole value"
		}
		if errors.Is(err, errTime) {
			return where + " is " + errTime.Error()
		}
		return fmt.Sprintf("%s is %s and must be %s", where, found[wrong.JSONKind], wanted(wrong.GoType))
	case errors.As(err, &syntax):
		return fmt.Sprintf("the syntax is wrong at byte %d", syntax.ByteOffset)
	}
	return "it cannot be read"
}

var found = map[jsontext.Kind]string{
	'n': "null", 't': "true", 'f': "false", '"': "text", '0': "a number", '{': "an object", '[': "a list",
}

func wanted(t reflect.Type) string {
	switch {
	case t == nil:
		return "something else"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.String || t == reflect.TypeFor[Time]():
		return "text"
	}
	return "an object"
}

// EncodePayload is a payload as it stands in an event's data.
func EncodePayload[T Payload](data T) ([]byte, error) {
	return json.Marshal(data, jsontext.AllowInvalidUTF8(true))
}

// DecodePayload reads what EncodePayload wrote.
func DecodePayload[T Payload](b []byte) (data T, err error) {
	err = json.Unmarshal(b, &data, tolerant)
	return data, err
}
