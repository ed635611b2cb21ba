package bus

import (
	"context"
	"errors"
	"slices"

	"github.com/sipeat/sipeat/shared/events"
)

// Outcome is how one try to handle an event ended.
type Outcome string

const (
	Done        Outcome = "done"        // handled
	Rejected    Outcome = "rejected"    // the event's own fault: into the dead letters, then it counts as handled
	Unavailable Outcome = "unavailable" // not the event's fault: tried again for as long as it takes
	Failed      Outcome = "failed"      // for an unknown reason: tried again a few times, then rejected
)

// outcomeOf is the one table from a handler's error to an outcome.
func outcomeOf(err error) Outcome {
	if err == nil {
		return Done
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	switch {
	case anyUnavailable(err):
		return Unavailable
	case events.KindOf(err) == events.Invalid, events.KindOf(err) == events.Conflict:
		return Rejected
	default: // NotFound too: what it is about may still be on its way
		return Failed
	}
}

// anyUnavailable looks through joined errors too: what is partly not the event's fault is tried again.
func anyUnavailable(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *events.Error:
		return e.Kind == events.Unavailable // its cause does not matter: whoever made it decided
	case interface{ Unwrap() error }:
		return anyUnavailable(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), anyUnavailable)
	}
	return false
}

// Class says why an event was rejected; it stands in the dead letter.
type Class string

const (
	Undecodable Class = "undecodable" // not an event of its topic
	Refused     Class = "refused"     // the handler called it invalid
	Conflicting Class = "conflict"    // its id is taken by other content
	Exhausted   Class = "exhausted"   // still failing for an unknown reason after all attempts
	Panicked    Class = "panic"       // the handler panicked at the last attempt
	Expired     Class = "expired"     // refused for now, and for itself alone, longer than [Options.GiveUpAfter]
	TooLarge    Class = "too-large"   // it does not fit in memory or, as a dead letter, in its topic; its value is left out
)

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
