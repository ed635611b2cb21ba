package web

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// The problem types. They are relative references (RFC 9457 section 3.1.1) and stable; every other problem is "about:blank",
// which means what its status means.
const (
	typeJSON        = "/problems/invalid-json"       // 400: the body is not a JSON object; detail has the position
	typeUnreadable  = "/problems/unreadable-fields"  // 400: errors has the first field that is unknown, duplicate or of a wrong type
	typeFields      = "/problems/invalid-fields"     // 422: errors lists all fields whose values are not acceptable
	typeParameters  = "/problems/invalid-parameters" // 400: errors lists parameters of path or query
	typeNotFound    = "/problems/not-found"          // 404: the path is right, the resource does not exist (yet)
	typeConflict    = "/problems/conflict"           // 409: the id is taken by other content
	typeUnavailable = "/problems/unavailable"        // 503: try again after Retry-After; the event eventId may have been kept
)

// titles are the same for every occurrence of a type (RFC 9457 section 3.1.3).
var titles = map[string]string{
	typeJSON:        "The body cannot be read",
	typeUnreadable:  "A field cannot be read",
	typeFields:      "Some fields are not acceptable",
	typeParameters:  "Some parameters are not acceptable",
	typeNotFound:    "Not found",
	typeConflict:    "The id is taken",
	typeUnavailable: "Temporarily unavailable",
}

// kinds is the table of what an error of a kind means here: status, type, and the detail of an error without a text. What it
// means for delivery is in package bus. An Invalid error is one of the two below.
var kinds = map[events.Kind]Problem{
	events.NotFound: {Status: 404, Type: typeNotFound,
		Detail: "It does not exist, or not yet; check the id, or retry with Prefer: wait=10."},
	events.Conflict:    {Status: 409, Type: typeConflict, Detail: "The id is taken by other content; send another id."},
	events.Unavailable: {Status: 503, Type: typeUnavailable, Detail: "Try again later.", RetryAfter: 5 * time.Second},
	events.Unknown: {Status: 500,
		Detail: "Something failed on our side. Report the X-Request-Id of this answer if it persists."},
}

var (
	invalidFields     = Problem{Status: 422, Type: typeFields, Detail: "See errors for each field."}         // of a command
	invalidParameters = Problem{Status: 400, Type: typeParameters, Detail: "See errors for each parameter."} // of a query
)

const maxFaults = 50 // errors in an answer

// clientGone is what is logged when the client went away before the answer. nginx made the status known.
var clientGone = Problem{Status: 499, Title: "Client Closed Request", Detail: "The client went away."}

// Problem is an RFC 9457 document, the answer to a request that failed. Only Status must be set.
type Problem struct {
	Type     string `json:"type"`               // "" = about:blank
	Title    string `json:"title"`              // "" = the type's own, or the status's
	Status   int    `json:"status"`             // the HTTP status
	Detail   string `json:"detail,omitempty"`   // what is wrong and what to do about it
	Instance string `json:"instance,omitempty"` // the request's path; X-Request-Id names the occurrence
	EventID  string `json:"eventId,omitempty"`  // the event that may have been written
	// Errors are the faulty fields. Pointer is a JSON pointer into the body or, for a query, into the object that the
	// parameters of path and query form ("/city" for ?city=…).
	Errors      []events.FieldError `json:"errors,omitempty"`
	Unreachable []string            `json:"unreachable,omitempty"` // names of [Check]s
	Facts       map[string]any      `json:"facts,omitempty"`       // of [Check]s, by name

	RetryAfter time.Duration `json:"-"` // the header, in whole seconds; 0 = none
}

// Write answers with the problem. Texts and lists are bounded, because callers influence them.
func (p Problem) Write(w http.ResponseWriter, r *http.Request) {
	if x := exchangeOf(r.Context()); x != nil {
		x.problem = true
	}
	p.Type = cmp.Or(p.Type, "about:blank")
	p.Title = cmp.Or(p.Title, titles[p.Type], http.StatusText(p.Status))
	p.Instance = cmp.Or(p.Instance, requestPath(r))
	p.Detail = events.OneLine(p.Detail, 500)
	if len(p.Errors) > maxFaults {
		p.Detail += " Only the first " + strconv.Itoa(maxFaults) + " errors are listed."
	}
	fields := make([]events.FieldError, min(len(p.Errors), maxFaults))
	for i := range fields {
		f := p.Errors[i]
		pointer := strings.ToValidUTF8(f.Pointer[:min(len(f.Pointer), 200)], "") // as it is: blanks are part of a name
		fields[i] = events.FieldError{Pointer: pointer, Detail: events.OneLine(f.Detail, 300)}
	}
	p.Errors = fields
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	writeAs(w, r, p.Status, "application/problem+json", &p)
}

// fail answers an error. invalid is what an Invalid one means.
func fail(w http.ResponseWriter, r *http.Request, err error, invalid Problem) {
	p := classify(err, invalid)
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		eventID := p.EventID
		p = clientGone
		p.EventID = eventID
	}
	x := exchangeOf(r.Context())
	if x != nil && p.EventID != "" {
		x.eventID = p.EventID
	}
	if p.Status >= http.StatusInternalServerError { // the others are the caller's fault, and may quote the request
		if x != nil {
			x.err = err
		} else {
			slog.ErrorContext(r.Context(), "request failed", "status", p.Status, "error", events.LogText(err.Error()))
		}
	}
	p.Write(w, r)
}

// classify returns the problem for an error. It shows nothing of an error of unknown kind.
func classify(err error, invalid Problem) Problem {
	e := &events.Error{}
	errors.As(err, &e)
	kind := e.Kind
	if kind == events.Unknown && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		kind, e = events.Unavailable, &events.Error{EventID: e.EventID}
	}
	p, known := kinds[kind]
	if kind == events.Invalid {
		p, known = invalid, true
	}
	if !known || kind == events.Unknown {
		return kinds[events.Unknown]
	}
	p.EventID, p.Errors = e.EventID, e.Fields
	p.Detail = cmp.Or(e.Message, p.Detail)
	if kind == events.Unavailable {
		p.RetryAfter = cmp.Or(max(e.RetryAfter, 0), p.RetryAfter)
	}
	return p
}
