package web

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/events"
)

// The problems that have a type and, per type, a title. Types are relative references (RFC 9457 section 3.1.1) and stable; every
// other problem is "about:blank", which means what its status means.
var (
	invalidJSON = Problem{Status: 400, Type: "/problems/invalid-json", Title: "The body cannot be read"}
	// errors has the first field that is unknown, duplicate or of a wrong type.
	unreadableFields = Problem{Status: 400, Type: "/problems/unreadable-fields", Title: "A field cannot be read"}
	// errors has all fields of a command, or parameters of a query, whose values are not acceptable.
	invalidFields = Problem{Status: 422, Type: "/problems/invalid-fields", Title: "Some fields are not acceptable",
		Detail: "See errors for each field."}
	invalidParameters = Problem{Status: 400, Type: "/problems/invalid-parameters", Title: "Some parameters are not acceptable",
		Detail: "See errors for each parameter."}
	notFound = Problem{Status: 404, Type: "/problems/not-found", Title: "Not found",
		Detail: "It does not exist, or not yet; check the id, or retry with Prefer: wait=10."}
	conflict = Problem{Status: 409, Type: "/problems/conflict", Title: "The id is taken",
		Detail: "The id is taken by other content; send another id."}
	unavailable = Problem{Status: 503, Type: "/problems/unavailable", Title: "Temporarily unavailable",
		Detail: "Try again later.", RetryAfter: 5 * time.Second}
	unknown = Problem{Status: 500,
		Detail: "Something failed on our side. Report the X-Request-Id of this answer if it persists."}
	// clientGone is what is logged when the client went away before the answer. nginx made the status known.
	clientGone = Problem{Status: 499, Title: "Client Closed Request", Detail: "The client went away."}
)

// Problems returns the problems that have a type, for documents.
func Problems() []Problem {
	return []Problem{invalidJSON, unreadableFields, invalidFields, invalidParameters, notFound, conflict, unavailable}
}

const maxFaults = 50 // errors in an answer

// Problem is an RFC 9457 document, the answer to a request that failed. Only Status must be set.
type Problem struct {
	Type     string `json:"type"`               // "" = about:blank
	Title    string `json:"title"`              // "" = the status's
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

func (p Problem) with(detail string, faults ...events.FieldError) *Problem {
	p.Detail, p.Errors = detail, faults
	return &p
}

// Write answers with the problem.
func (p Problem) Write(w http.ResponseWriter, r *http.Request) {
	p.Type = cmp.Or(p.Type, "about:blank")
	p.Title = cmp.Or(p.Title, http.StatusText(p.Status))
	p.Instance = cmp.Or(p.Instance, requestPath(r))
	p.Errors = p.Errors[:min(len(p.Errors), maxFaults)]
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	writeJSON(w, r, p.Status, "application/problem+json", &p)
}

// By the library's default nil lists are [] and text is UTF-8 without HTML escapes. A record of another producer is shown even
// if it has a duplicate name or half a surrogate pair: a query must not fail on it.
var answerOptions = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func writeJSON(w http.ResponseWriter, r *http.Request, status int, contentType string, v any) {
	b, err := json.Marshal(v, answerOptions)
	if err != nil {
		fail(w, r, err, invalidParameters)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store") // it may hold personal data
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // it fails only when the client has gone
	}
}

// fail answers an error. invalid is what an Invalid one means.
func fail(w http.ResponseWriter, r *http.Request, err error, invalid Problem) {
	p := classify(err, invalid)
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		gone := clientGone
		gone.EventID = p.EventID
		p = gone
	}
	x := exchangeOf(r.Context())
	x.eventID = cmp.Or(x.eventID, p.EventID)
	if p.Status >= http.StatusInternalServerError { // the others are the caller's fault, and may quote the request
		x.cause = err.Error()
	}
	p.Write(w, r)
}

// classify is the table of what an error of a kind means here; what it means for delivery is in package bus. It shows nothing of
// an error of unknown kind.
func classify(err error, invalid Problem) Problem {
	e := &events.Error{}
	if !errors.As(err, &e) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		e.Kind = events.Unavailable
	}
	p, known := map[events.Kind]Problem{events.Invalid: invalid, events.NotFound: notFound, events.Conflict: conflict,
		events.Unavailable: unavailable}[e.Kind]
	if !known {
		return unknown
	}
	p.EventID, p.Errors = e.EventID, e.Fields
	p.Detail = cmp.Or(e.Message, p.Detail)
	p.RetryAfter = cmp.Or(e.RetryAfter, p.RetryAfter)
	return p
}
