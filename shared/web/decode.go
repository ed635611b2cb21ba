package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/events"
)

// maxDepth is how deep objects and lists may be nested. Nothing that is read here is deeper than 3.
const maxDepth = 32

var (
	errTooDeep = errors.New("too deep")
	errEnough  = errors.New("enough faults")
)

// reader reads one body in one pass over its tokens. It never descends by recursion into what the body nests, only into
// what the Go type nests.
type reader struct {
	dec    jsontext.Decoder
	buf    bytes.Buffer
	body   []byte // what buf held; dec has consumed it
	text   string // the same, if it is small; what is read from it shares its memory
	limit  io.LimitedReader
	faults faults
}

// smallText is the size up to which the strings of a body share one copy of it. It saves an allocation each, and what
// remains of a body while its command is handled stays small.
const smallText = 4 << 10

// Duplicates are found by the shapes, so that they are collected like the other faults.
var tolerateDuplicates = []jsontext.Options{jsontext.AllowDuplicateNames(true)}

// decode reads r.buf into v. nil = it was read completely.
func (r *reader) decode(s *structShape, v reflect.Value) *Problem {
	r.body, r.text, r.faults = r.buf.Bytes(), "", nil
	if len(r.body) <= smallText {
		r.text = string(r.body)
	}
	switch {
	case len(bytes.TrimLeft(r.body, " \t\r\n")) == 0:
		return invalidJSON("The body is empty; send a JSON object.")
	case bytes.HasPrefix(r.body, []byte("\xef\xbb\xbf")):
		// RFC 8259 section 8.1 forbids senders a byte order mark and leaves receivers the choice. encoding/json and most
		// others refuse it, so it is better found here.
		return invalidJSON("The body starts with a byte order mark; send UTF-8 without one.")
	case bytes.HasPrefix(r.body, []byte("\xff\xfe")), bytes.HasPrefix(r.body, []byte("\xfe\xff")):
		return invalidJSON("The body is UTF-16; send UTF-8.")
	}
	r.dec.Reset(&r.buf, tolerateDuplicates...)
	if k := r.dec.PeekKind(); k != '{' && kindName(k) != "" {
		return invalidJSON("The body is " + kindName(k) + "; send a JSON object.")
	}
	err := s.read(r, v)
	if err == nil {
		end := r.dec.InputOffset()
		if _, err = r.dec.ReadToken(); err == nil || !errors.Is(err, io.EOF) {
			return invalidJSON("The body goes on " + r.place(end) + " after its JSON object has ended; send one object and nothing else.")
		}
	} else if !errors.Is(err, errEnough) {
		return r.unreadable(err)
	}
	if len(r.faults) == 0 {
		return nil
	}
	return &Problem{Type: typeUnreadable, Status: http.StatusBadRequest,
		Detail: "See errors for each field and what it must be.", Errors: r.faults}
}

// unreadable explains where and why the reading ended.
func (r *reader) unreadable(err error) *Problem {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, errTooDeep):
		return invalidJSON(fmt.Sprintf("The body is nested too deeply %s: at most %d levels are read.", r.place(r.dec.InputOffset()), maxDepth))
	case errors.As(err, &syntax):
	default:
		return invalidJSON("The body ends in the middle " + r.place(int64(len(r.body))) + "; send all of it.")
	}
	where, why := r.place(syntax.ByteOffset), "is no JSON"
	rest := r.body[min(syntax.ByteOffset, int64(len(r.body))):]
	first, size := utf8.DecodeRune(rest)
	switch {
	case errors.Is(syntax.Err, io.ErrUnexpectedEOF):
		why = "ends in the middle; send all of it"
	case first == utf8.RuneError && size == 1:
		why = "is not UTF-8; send UTF-8"
	case bytes.HasPrefix(rest, []byte(`\u`)):
		why = "has an escape that is no character (half a surrogate pair, or not four hex digits)"
	default:
		why += ": " + syntax.Err.Error()
	}
	p := invalidJSON("The body " + why + ", " + where + ".")
	(*faults)(&p.Errors).add(string(syntax.JSONPointer), "cannot be read, "+where)
	return p
}

func invalidJSON(detail string) *Problem {
	return &Problem{Type: typeJSON, Status: http.StatusBadRequest, Detail: detail}
}

// place says where an offset is: "at line 2, column 7 (byte 31)", lines and columns from 1 and in characters, bytes from 0.
func (r *reader) place(offset int64) string {
	before := r.body[:min(offset, int64(len(r.body)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("at line %d, column %d (byte %d)", line, column, len(before))
}

// fault reports the value that was read last, and goes on.
func (r *reader) fault(detail string) error {
	if !r.faults.add(string(r.dec.StackPointer()), detail) {
		return errEnough
	}
	return nil
}

// refuse reads over the next value and reports it.
func (r *reader) refuse(detail string) error {
	if _, err := r.raw(); err != nil {
		return err
	}
	return r.fault(detail)
}

func (r *reader) wrongKind(want string) error {
	got := kindName(r.dec.PeekKind())
	if got == "null" {
		return r.refuse("is null and must be " + want + "; leave it out if there is nothing to say")
	}
	return r.refuse("is " + got + " and must be " + want)
}

// open enters an object or list; false = it is none, or nothing more can be read.
func (r *reader) open(kind jsontext.Kind) (bool, error) {
	if r.dec.PeekKind() != kind {
		return false, r.wrongKind(kindName(kind))
	}
	_, err := r.dec.ReadToken()
	return err == nil, err
}

// scalar reads a string or number as it stands; nil = it is none, or nothing more can be read.
func (r *reader) scalar(kind jsontext.Kind) (jsontext.Value, error) {
	if r.dec.PeekKind() != kind {
		return nil, r.wrongKind(kindName(kind))
	}
	return r.dec.ReadValue()
}

// raw reads over the next value token by token, where [jsontext.Decoder.ReadValue] would recurse, and returns its text.
func (r *reader) raw() ([]byte, error) {
	base, start := r.dec.StackDepth(), r.dec.InputOffset()
	for {
		if _, err := r.dec.ReadToken(); err != nil {
			return nil, err
		}
		switch depth := r.dec.StackDepth(); {
		case depth > maxDepth:
			return nil, errTooDeep
		case depth == base:
			// What lies between the token before and this value belongs to neither.
			return bytes.TrimLeft(r.body[start:r.dec.InputOffset()], " \t\r\n:,"), nil
		}
	}
}

// unquoted is the text of a JSON string that has been found valid. It may share raw's memory.
func unquoted(raw jsontext.Value) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, raw)
	return text
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return ""
}

// faults is a list of faulty fields, bounded in number and text because callers decide what is in it.
type faults []events.FieldError

const maxFaults = 50

// add reports false once the list is full.
func (f *faults) add(pointer, detail string) bool {
	if len(*f) < maxFaults {
		*f = append(*f, events.FieldError{Pointer: bounded(pointer, 200), Detail: printable(detail, 300)})
	}
	return len(*f) < maxFaults
}
