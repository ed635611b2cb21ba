package events_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/events"
)

func TestErrorText(t *testing.T) {
	fields := []events.FieldError{{Pointer: "/a", Detail: "is required"}, {Pointer: "/b/0", Detail: "is blank"}}
	for want, err := range map[string]error{
		"no contact c-1": events.Errorf(events.NotFound, "no contact %s", "c-1"),
		"no broker: EOF": events.Wrap(events.Unavailable, io.EOF, "no broker"),
		"some fields are not acceptable: /a is required; /b/0 is blank": &events.Error{Message: "some fields are not acceptable",
			Fields: fields},
		"not acceptable: /a is required; /b/0 is blank: EOF": &events.Error{Message: "not acceptable", Fields: fields,
			Err: io.EOF},
	} {
		assert.EqualError(t, err, want)
	}
}

func TestKindOfWrappedErrors(t *testing.T) {
	conflict := events.Errorf(events.Conflict, "taken")
	for err, kind := range map[error]events.Kind{
		io.EOF: events.Unknown, fmt.Errorf("put: %w", conflict): events.Conflict, errors.Join(io.EOF, conflict): events.Conflict,
		events.Wrap(events.Unavailable, conflict, "later"): events.Unavailable,
	} {
		assert.Equal(t, kind, events.KindOf(err), "%v", err)
	}
}
