package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// The machine-readable types. They are relative references (RFC 9457 section 3.1.1) and stable; everything else is
// "about:blank", whose meaning is that of the status.
const (
	typeJSON        = "/problems/invalid-json"       // 400: the body is no JSON object; detail says where
	typeUnreadable  = "/problems/unreadable-fields"  // 400: errors lists fields that are unknown, twice there or of a wrong type
	typeFields      = "/problems/invalid-fields"     // 422: errors lists fields whose values are not acceptable
	typeParameters  = "/problems/invalid-parameters" // 400: errors lists parameters of path or query
	typeNotFound    = "/problems/not-found"          // 404: the path is right, the thing is not there (yet)
	typeConflict    = "/problems/conflict"           // 409: the id is taken by other content
	typeUnavailable = "/problems/unavailable"        // 503: try again after Retry-After; eventId: the event may have been kept
)

// titles are the same for every occurrence of a type (RFC 9457 section 3.1.3).
var titles = map[string]string{
	typeJSON:        "The body cannot be read",
	typeUnreadable:  "Some fields cannot be read",
	typeFields:      "Some fields are not acceptable",
	typeParameters:  "Some parameters are not acceptable",
	typeNotFound:    "There is no such thing",
	typeConflict:    "The id is taken",
	typeUnavailable: "Temporarily unavailable",
}

// statusClientGone is what is logged when the client went away before the answer; nginx made the number known. Nobody
// is there to read it.
const statusClientGone = 499

// Problem is an answer that is no success, an RFC 9457 document. Only Status must be set.
type Problem struct {
	Type     string `json:"type"`               // "" = about:blank
	Title    string `json:"title"`              // "" = the type's own, or the status's
	Status   int    `json:"status"`             // the HTTP status
	Detail   string `json:"detail,omitempty"`   // what is wrong and what to do about it
	Instance string `json:"instance,omitempty"` // the request's path; X-Request-Id names the occurrence
	EventID  string `json:"eventId,omitempty"`  // the event whose fate is not known
	// Errors are the faulty fields. Pointer is a JSON pointer into what was sent: into the body, or, where there is none,
	// into the object that the parameters of path and query form ("/city" for ?city=…), so that a handler which refuses
	// a value need not know where it stood.
	Errors      []events.FieldError `json:"errors,omitempty"`
	Unreachable []string            `json:"unreachable,omitempty"` // names of [Check]s
}

// Write answers with the problem.
func (p Problem) Write(w http.ResponseWriter, r *http.Request) {
	if x := exchangeOf(r.Context()); x != nil {
		x.problem = true
	}
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if p.Title == "" {
		p.Title = titles[p.Type]
	}
	if p.Title == "" {
		p.Title = phrase(p.Status)
	}
	if p.Instance == "" {
		p.Instance = bounded(requestPath(r), 200)
	}
	p.Detail = printable(p.Detail, 500)
	if len(p.Errors) > maxFaults {
		p.Errors = p.Errors[:maxFaults]
	}
	if len(p.Errors) == maxFaults {
		p.Detail = printable(p.Detail, 400) + " No more than " + strconv.Itoa(maxFaults) + " faults are listed."
	}
	writeAs(w, r, p.Status, typeOfProblem, &p)
}

// phrase is what RFC 9110 calls a status, which net/http keeps in an older wording for some.
func phrase(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "Content Too Large"
	case http.StatusUnprocessableEntity:
		return "Unprocessable Content"
	case statusClientGone:
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// side is which status an invalid input has: a command's was read and understood before it was refused.
type side int

const (
	commands side = iota
	queries
)

// meaning is what an error of a kind becomes.
type meaning struct {
	status  [2]int // by side
	problem string
	detail  string // if the error says nothing
}

// kinds is the table of what errors mean here. Its other half, what they mean for delivery, is in package bus.
var kinds = map[events.Kind]meaning{
	events.Invalid:     {[2]int{422, 400}, typeFields, "See errors for each field."},
	events.NotFound:    {[2]int{404, 404}, typeNotFound, "It does not exist, or not yet; check the id, or ask again with Prefer: wait=10."},
	events.Conflict:    {[2]int{409, 409}, typeConflict, "Another thing has this id; send another."},
	events.Unavailable: {[2]int{503, 503}, typeUnavailable, "Try again later."},
	events.Unknown:     {[2]int{500, 500}, "", "Something went wrong here, not with the request. Tell us the X-Request-Id of this answer if it stays."},
}

// retryAfter is the wait asked for where whoever refused has named none.
const retryAfter = 5 * time.Second

// Fail answers with what err means, as a query's error would be: for a [Guard] that cannot do its work.
func Fail(w http.ResponseWriter, r *http.Request, err error) { fail(w, r, err, queries) }

// FailLogged is Fail for an error that the caller logs at its own pace: the request's log line is at level info and has no
// cause.
func FailLogged(w http.ResponseWriter, r *http.Request, err error) {
	fail(w, r, err, queries)
	if x := exchangeOf(r.Context()); x != nil {
		x.err, x.logged = nil, true
	}
}

// fail answers with what err means.
func fail(w http.ResponseWriter, r *http.Request, err error, s side) {
	var e *events.Error
	if !errors.As(err, &e) {
		e = &events.Error{}
	}
	x := exchangeOf(r.Context())
	if x != nil && e.EventID != "" {
		x.eventID = e.EventID
	}
	canceled := errors.Is(err, context.Canceled)
	if canceled && r.Context().Err() != nil {
		Problem{Status: statusClientGone, Detail: "The request was given up.", EventID: e.EventID}.Write(w, r)
		return
	}
	kind := e.Kind
	if _, known := kinds[kind]; !known {
		kind = events.Unknown
	}
	if kind == events.Unknown && (canceled || errors.Is(err, context.DeadlineExceeded)) {
		kind = events.Unavailable
		e = &events.Error{EventID: e.EventID}
	}
	m := kinds[kind]
	p := Problem{Type: m.problem, Status: m.status[s], Detail: m.detail}
	if kind != events.Unknown {
		p.EventID, p.Errors = e.EventID, nil
		if e.Message != "" {
			p.Detail = e.Message
		}
		for _, f := range e.Fields {
			if !(*faults)(&p.Errors).add(f.Pointer, f.Detail) {
				break
			}
		}
	}
	switch {
	case kind == events.Invalid && s == queries:
		p.Type = typeParameters
	case kind == events.Unavailable:
		wait := e.RetryAfter
		if wait <= 0 {
			wait = retryAfter
		}
		w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	// Only these are somebody's to look into; what a caller did wrong may hold what the caller wrote.
	if kind == events.Unknown || kind == events.Unavailable {
		if x != nil {
			x.err = err
		} else {
			slog.LogAttrs(r.Context(), levelOf(p.Status), "request failed", slog.Int("status", p.Status), slog.String("error", events.LogText(err.Error())))
		}
	}
	p.Write(w, r)
}
