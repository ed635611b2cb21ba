package web

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// Command is what a POST brings.
type Command[In any] struct {
	Body In
	// Seed is the same for the same request (route, caller, Idempotency-Key and meaning of the body), and different for
	// any other: ids derived from it make a retry the same event. "" = no Idempotency-Key came: ids are new.
	Seed string
}

// Accepted is the answer to a command: 202, once the event is durable on its topic. Its Location is the request's path
// with the ID behind it.
type Accepted struct {
	ID        string `json:"id"`      // of the thing that the event makes known
	EventID   string `json:"eventId"` // of the event
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// HandleCommand makes the endpoint of a command. The body must be one JSON object, read strictly: each of its members is
// a field of In in the same case, comes once and has the field's JSON type. null is accepted by pointer fields only. An
// absent field keeps its zero value: whether that is acceptable is for h to say (events.Invalid: 422).
//
// It answers 202; 400 for what cannot be read; 408 if the body comes too slowly; 413 above 64 KiB; 415 unless it is
// unencoded application/json in UTF-8; and what h's error means (see [Problem]).
//
// In is a struct of strings, booleans, numbers, structs (embedded ones are flattened), slices, pointers, and types
// with UnmarshalJSON or UnmarshalText. HandleCommand panics when In is or has anything else.
func HandleCommand[In any](h func(context.Context, Command[In]) (Accepted, error)) http.Handler {
	return &command[In]{shape: shapeOf(reflect.TypeFor[In]()), handle: h}
}

type command[In any] struct {
	shape  *structShape
	handle func(context.Context, Command[In]) (Accepted, error)
}

func (c *command[In]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cmd := new(Command[In])
	x := exchangeOf(r.Context())
	key, p := idempotencyKey(r.Header)
	if p == nil {
		p = readBody(w, r, c.shape, reflect.ValueOf(&cmd.Body).Elem())
	}
	if p != nil {
		p.Write(w, r)
		return
	}
	if key != "" {
		var err error
		if cmd.Seed, err = seed(r, key, &cmd.Body); err != nil {
			fail(w, r, err, commands)
			return
		}
	}
	accepted, err := c.handle(r.Context(), *cmd)
	if err != nil {
		fail(w, r, err, commands)
		return
	}
	if x != nil {
		x.eventID = accepted.EventID
	}
	w.Header().Set("Location", strings.TrimRight(requestPath(r), "/")+"/"+url.PathEscape(accepted.ID))
	writeJSON(w, r, http.StatusAccepted, &accepted)
}
