package events

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// Kind classifies a failure by the reaction it needs. There are few, because only two tables read them: the HTTP status in
// package web and the delivery outcome in package bus.
type Kind string

const (
	Unknown     Kind = ""            // unforeseen; its text is logged and never shown to a caller
	Invalid     Kind = "invalid"     // the input is not acceptable, and will not be when tried again
	NotFound    Kind = "not found"   // it does not exist (yet)
	Conflict    Kind = "conflict"    // the id is taken by other content
	Unavailable Kind = "unavailable" // a part that is needed cannot be reached now; a retry may help
)

// Error is a failure of a kind. Message is for the caller: what is wrong and what to do about it. Err, the cause, is for the
// log. Neither holds payload: both name fields and positions, not values.
type Error struct {
	Kind       Kind
	Message    string
	Fields     []FieldError  // Invalid: every faulty field
	EventID    string        // Unavailable: the event that may still be written
	RetryAfter time.Duration // Unavailable: the wait that the refusing component requested; 0 = none
	EventOnly  bool          // Unavailable: for this event alone (a full mailbox); it may be given up after a bounded time
	Err        error
}

// FieldError is one faulty field. Pointer is its JSON pointer (RFC 6901) in the document that was sent.
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (e *Error) Error() string {
	text, separator := e.Message, ": "
	for _, f := range e.Fields {
		text += separator + f.Pointer + " " + f.Detail
		separator = "; "
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind with a text for the caller.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a kind with a text for the caller and a cause for the log.
func Wrap(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: cause}
}

// KindOf is the kind of the first [Error] in err's chain; Unknown if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Unknown
}

// Panic is a panic as an error. Text holds no payload: it is the text of a runtime error, and only the type of any other
// value, whose text could repeat the content of an event or a request.
type Panic struct {
	Text  string
	Stack []byte // of the goroutine that panicked
}

func (p *Panic) Error() string { return p.Text }

// Recovered makes an error of what recover returned. Call it in the deferred function itself, where the stack is still that
// of the panic.
func Recovered(value any) *Panic {
	switch v := value.(type) {
	case *Panic: // raised again on another goroutine
		return v
	case runtime.Error:
		return &Panic{"panic: " + v.Error(), debug.Stack()}
	}
	return &Panic{fmt.Sprintf("panic: a value of type %T", value), debug.Stack()}
}
