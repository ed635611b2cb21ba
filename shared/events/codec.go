package events

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// tolerant reads the JSON of other programs: JavaScript's JSON.stringify writes half an emoji as a lone surrogate, and JSON.parse
// uses the last of duplicate names.
//
// json/v2 takes 0.38 of encoding/json's time for one event of each type. Faster ones that were measured: goccy 0.20 (rests on
// unsafe in 104 files), segmentio 0.22 (no depth limit: 10 MB of brackets end the process), sonic 0.35 (passes invalid UTF-8 on).
var tolerant = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// ErrNotUnderstood marks a record that is not an event of its topic.
var ErrNotUnderstood = errors.New("not understood")

// Encode is the event as the value of a record.
func (e Event[T]) Encode() ([]byte, error) {
	b, err := json.Marshal(e, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", e.Type, LogID(e.ID), err)
	}
	return b, nil
}

// Decode reads an event of T from a record's value. It accepts every record that can be understood: unknown, null, missing and
// empty fields (but no empty timestamp), ids of any form, no metadata, a byte order mark. In metadata a value that is not a
// string counts as absent, except in its timestamp. In data a field of a wrong JSON type is not understood: its text would be a
// guess, and ids are compared by their text. The error is Invalid, wraps [ErrNotUnderstood] and names what is missing, without
// payload.
func Decode[T Payload](value []byte) (Event[T], error) {
	var wire struct {
		ID       string   `json:"eventId"`
		Type     string   `json:"eventType"`
		Data     *T       `json:"data"`
		Metadata Metadata `json:"metadata"`
	}
	var e Event[T]
	topic := e.Data.Topic()
	value = bytes.TrimPrefix(value, byteOrderMark)
	if len(bytes.TrimSpace(value)) == 0 {
		return e, notUnderstood("the record has no value")
	}
	err := json.Unmarshal(value, &wire, tolerant)
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok && strings.HasPrefix(string(wrong.JSONPointer), "/metadata") {
		err = json.Unmarshal(value, &wire, tolerant, looseMetadata)
	}
	if err != nil {
		return e, notUnderstood("not the JSON of a %s event: %s", topic, recordFault(err))
	}
	switch {
	case wire.ID == "":
		return e, notUnderstood("no eventId")
	case wire.Type != topic:
		return e, notUnderstood("the eventType is not the topic's, which is %s", topic)
	case wire.Data == nil:
		return e, notUnderstood("no data object")
	}
	if err := (*wire.Data).readable(); err != nil {
		return e, err
	}
	return Event[T]{ID: wire.ID, Type: wire.Type, Data: *wire.Data, Metadata: wire.Metadata}, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// looseMetadata reads metadata of other JSON types. It is slow, and rarely needed.
var looseMetadata = json.WithUnmarshalers(json.JoinUnmarshalers(
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, m *Metadata) error {
		if *m = (Metadata{}); d.PeekKind() == '{' {
			return errors.ErrUnsupported
		}
		return d.SkipValue()
	}),
	json.UnmarshalFromFunc(func(d *jsontext.Decoder, text *string) error {
		if d.PeekKind() == '"' || !strings.HasPrefix(string(d.StackPointer()), "/metadata/") {
			return errors.ErrUnsupported
		}
		return d.SkipValue()
	})))

func notUnderstood(format string, args ...any) error {
	return Wrap(Invalid, ErrNotUnderstood, format, args...)
}

// EncodePayload is a payload in the form of an event's data.
func EncodePayload[T Payload](data T) ([]byte, error) {
	return json.Marshal(data, jsontext.AllowInvalidUTF8(true))
}

// DecodePayload reads the form of EncodePayload.
func DecodePayload[T Payload](b []byte) (data T, err error) {
	err = json.Unmarshal(b, &data, tolerant)
	return data, err
}

// recordFault names the place of a record's fault. The library's own text must not be logged: it quotes the record.
func recordFault(err error) string {
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		// The pointer has names of our own fields only: values of unknown ones are skipped.
		where := strings.ReplaceAll(strings.TrimPrefix(string(wrong.JSONPointer), "/"), "/", ".")
		return cmp.Or(where, "the whole value") + " " + TypeFault(wrong)
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("the syntax is wrong at byte %d", syntax.ByteOffset)
	}
	return "it cannot be read"
}

// TypeFault describes a value of the wrong JSON type, without its content: "must be a string".
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
	return "must be " + must
}
