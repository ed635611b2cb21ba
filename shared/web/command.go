package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Command is a POST as its handler receives it.
type Command[In any] struct {
	Body In
	// Seed is equal for the same request (route, caller, Idempotency-Key and meaning of the body) and different for any
	// other: ids derived from it make a retry the same event. "" = no Idempotency-Key was sent; ids are new.
	Seed string
}

// Accepted is the answer to a command: 202, once the event is durable on its topic. Its Location is the request's path and
// the ID.
type Accepted struct {
	ID        string `json:"id"`      // of the resource that the event makes known
	EventID   string `json:"eventId"` // of the event
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// HandleCommand makes the endpoint of a command. The body must be one JSON object, read strictly: each member is a field of In
// in the same case, appears once and has the field's JSON type. An absent field keeps its zero value, as does null; h decides
// whether that is acceptable (events.Invalid: 422).
//
// It answers 202; 400 for a body that cannot be read, with the position and JSON pointer of the first fault; 408 for a body that
// comes too slowly; 413 above 64 KiB; 415 unless the body is unencoded application/json in UTF-8; and for an error of h as
// [Problem] says.
func HandleCommand[In any](h func(context.Context, Command[In]) (Accepted, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c Command[In]
		key, p := idempotencyKey(r.Header)
		if p == nil {
			var body []byte
			if body, p = readBody(w, r); p == nil {
				p = decode(body, &c.Body)
			}
		}
		if p != nil {
			p.Write(w, r)
			return
		}
		var accepted Accepted
		var err error
		if key != "" {
			c.Seed, err = seed(r, key, &c.Body)
		}
		if err == nil {
			accepted, err = h(r.Context(), c)
		}
		if err != nil {
			fail(w, r, err, invalidFields)
			return
		}
		if x := exchangeOf(r.Context()); x != nil {
			x.eventID = accepted.EventID
		}
		collection := strings.TrimRight(proxyInfoOf(r.Context()).Prefix+r.URL.EscapedPath(), "/")
		w.Header().Set("Location", collection+"/"+url.PathEscape(accepted.ID))
		writeJSON(w, r, http.StatusAccepted, &accepted)
	})
}
