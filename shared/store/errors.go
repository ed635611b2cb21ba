package store

import (
	"context"
	"errors"

	"github.com/sipeat/sipeat/shared/events"
)

// Compare distinguishes a repeat (nil) of the item that is kept with this digest from a Conflict, whose text holds nothing of
// the payload, because it is logged and written to dead letters.
func (i Item) Compare(kept []byte) error {
	if string(kept) == string(i.Digest[:]) {
		return nil
	}
	return events.Errorf(events.Conflict,
		"%s %q exists with other content, and the first is kept; if this one is meant as well, send it under another id",
		i.Type, events.LogID(i.ID))
}

// Missing is the NotFound of an item.
func Missing(id string) error {
	return events.Errorf(events.NotFound, "nothing is known under the id %q (yet)", events.LogID(id))
}

// Fault is the error of a call that failed for a reason of the store's own: that its context ended, or else err with a text
// that says what is wrong. It is always Unavailable, because no argument can cause one. An error that has a kind already is
// returned as it is.
func Fault(ctx context.Context, err error, text func() string) error {
	var known *events.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return events.Wrap(events.Unavailable, ctx.Err(), "the caller stopped waiting for the read model")
	}
	return events.Wrap(events.Unavailable, err, "%s", text())
}
