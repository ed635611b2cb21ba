package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/events"
)

// maxBody is the size of the largest body that is read, in bytes. The largest valid command is under 10 KiB.
const maxBody = 64 << 10

// readBody reads the request's body into a struct. The buffer grows with what arrives, not with the announced length, so that a
// client which announces much and sends little holds little.
func readBody(w http.ResponseWriter, r *http.Request, into any) *Problem {
	if p := checkMedia(w, r.Header); p != nil {
		return p
	}
	var body []byte
	err := error(&http.MaxBytesError{Limit: maxBody})
	if r.ContentLength <= maxBody {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	switch { // in this order: net/http cancels the context after a timeout too
	case err == nil:
		return decode(body, into)
	case errors.As(err, new(*http.MaxBytesError)):
		// Before net/http sends the answer, it waits for up to 256 KiB of the rest.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: "The body is larger than 64 KiB (65,536 bytes); send less."}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Problem{Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time; send the request again."}
	case r.Context().Err() != nil:
		return &clientGone
	}
	return &Problem{Status: http.StatusBadRequest, Detail: "The body ended before it was complete; send the request again."}
}

// checkMedia accepts only application/json in UTF-8, not encoded. Types that end in +json are other formats (RFC 6839 section
// 3.1).
func checkMedia(w http.ResponseWriter, h http.Header) *Problem {
	if coding := strings.Join(h.Values("Content-Encoding"), ","); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
		return &Problem{Status: http.StatusUnsupportedMediaType,
			Detail: "The body is compressed or encoded; send it without Content-Encoding."}
	}
	media, params, err := mime.ParseMediaType(strings.Join(h.Values("Content-Type"), ","))
	charset, given := params["charset"]
	utf8 := !given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
	if err == nil && media == "application/json" && utf8 {
		return nil
	}
	w.Header().Set("Accept", "application/json") // RFC 9110 section 12.5.1
	return &Problem{Status: http.StatusUnsupportedMediaType,
		Detail: "Send the header Content-Type: application/json, once; the only charset is utf-8."}
}

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
	if jsontext.Value(body).Kind() != '{' { // null would be read as an empty object
		return invalidJSON.with("The body is not a JSON object; send one.")
	}
	err := json.Unmarshal(body, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		return unreadable(e.ByteOffset, e.JSONPointer, fieldFault(e))
	}
	e := &jsontext.SyntacticError{Err: err}
	if errors.As(err, &e) && errors.Is(e, jsontext.ErrDuplicateName) {
		return unreadable(e.ByteOffset, e.JSONPointer, "is a duplicate; send it once")
	}
	p := invalidJSON.with(fmt.Sprintf("Invalid JSON at byte %d: %v.", e.ByteOffset, e.Err))
	if e.JSONPointer != "" {
		p.Errors = []events.FieldError{{Pointer: string(e.JSONPointer), Detail: "cannot be read"}}
	}
	return p
}

func unreadable(offset int64, pointer jsontext.Pointer, detail string) *Problem {
	return unreadableFields.with(fmt.Sprintf("A field cannot be read at byte %d; see errors.", offset),
		events.FieldError{Pointer: string(pointer), Detail: detail})
}

func fieldFault(err *json.SemanticError) string {
	if !errors.Is(err, json.ErrUnknownName) {
		return events.TypeFault(err)
	}
	var names []string
	for _, f := range reflect.VisibleFields(err.GoType) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return "is unknown; known are " + strings.Join(names, ", ")
}
