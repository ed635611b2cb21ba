package bus

import (
	"context"
	"errors"
	"slices"

	"github.com/sipeat/sipeat/shared/events"
)

// Outcome is how one try of an event ended.
type Outcome string

const (
	Done        Outcome = "done"        // handled
	Rejected    Outcome = "rejected"    // the event is at fault: its dead letter is written, then it counts as handled
	Unavailable Outcome = "unavailable" // the event is not at fault: retried for as long as it takes, see [Engine]
	Failed      Outcome = "failed"      // for an unknown reason: retried a few times, then rejected
)

func outcomeOf(err error) Outcome {
	if err == nil {
		return Done
	}
	switch kind := events.KindOf(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), anyUnavailable(err):
		return Unavailable
	case kind == events.Invalid, kind == events.Conflict:
		return Rejected
	default: // NotFound too: the event that creates its subject may still arrive
		return Failed
	}
}

// anyUnavailable searches joined errors too: a failure that is partly not the event's fault is retried.
func anyUnavailable(err error) bool {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case *events.Error:
		return e.Kind == events.Unavailable // whatever its cause is
	case interface{ Unwrap() error }:
		return anyUnavailable(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), anyUnavailable)
	}
	return false
}

// Class is the reason for a rejection, as a dead letter has it.
type Class string

const (
	Undecodable Class = "undecodable" // not an event of its topic
	Refused     Class = "refused"     // the handler called it invalid
	Conflicting Class = "conflict"    // its id is in use with other content
	Exhausted   Class = "exhausted"   // it failed for an unknown reason at every attempt
	Panicked    Class = "panic"       // the handler panicked at the last attempt
	Expired     Class = "expired"     // refused for itself alone for too long, see [Options.GiveUpAfter]
	TooLarge    Class = "too-large"   // it does not fit in memory or, as a dead letter, in its topic; its value is left out
)

// Classes are all of them.
var Classes = []Class{Undecodable, Refused, Conflicting, Exhausted, Panicked, Expired, TooLarge}

// errTooLarge marks a record that its source could not read, see [Record.Unreadable].
var errTooLarge = errors.New("too large")

func classOf(err error) Class {
	var p *events.Panic
	switch kind := events.KindOf(err); {
	case errors.Is(err, errTooLarge):
		return TooLarge
	case errors.Is(err, events.ErrNotUnderstood):
		return Undecodable
	case errors.As(err, &p):
		return Panicked
	case kind == events.Invalid:
		return Refused
	case kind == events.Conflict:
		return Conflicting
	case kind == events.Unavailable:
		return Expired
	default:
		return Exhausted
	}
}
