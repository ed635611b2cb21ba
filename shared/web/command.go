package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
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

// Endpoint is the handler of a command or query. It has the types that it reads and answers, for documents.
type Endpoint struct {
	http.Handler
	Command bool         // In is the body; otherwise In are the parameters
	In, Out reflect.Type // of a success
}

// HandleCommand makes the endpoint of a command. The body must be one JSON object, read strictly: each member is a field of In
// in the same case, appears once and has the field's JSON type. An absent field keeps its zero value, as does null; h decides
// whether that is acceptable (events.Invalid: 422).
//
// It answers 202; 400 for a body that cannot be read, with the position and JSON pointer of the first fault; 408 for a body that
// comes too slowly; 413 above 64 KiB; 415 unless the body is unencoded application/json in UTF-8; and for an error of h as
// [Problem] says.
func HandleCommand[In any](h func(context.Context, Command[In]) (Accepted, error)) Endpoint {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c Command[In]
		key, p := idempotencyKey(r.Header)
		if p == nil {
			p = readBody(w, r, &c.Body)
		}
		if p != nil {
			p.Write(w, r)
			return
		}
		if key != "" {
			c.Seed = Seed(r.Pattern, Caller(r.Context()), key, &c.Body)
		}
		accepted, err := h(r.Context(), c)
		if err != nil {
			fail(w, r, err, invalidFields)
			return
		}
		exchangeOf(r.Context()).eventID = accepted.EventID
		collection := strings.TrimRight(prefixOf(r.Context())+r.URL.EscapedPath(), "/")
		w.Header().Set("Location", collection+"/"+url.PathEscape(accepted.ID))
		writeJSON(w, r, http.StatusAccepted, "application/json", &accepted)
	})
	return Endpoint{Handler: handler, Command: true, In: reflect.TypeFor[In](), Out: reflect.TypeFor[Accepted]()}
}

const maxKey = 255

// idempotencyKey reads the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible ASCII characters
// without a comma, with which a proxy may have joined two headers (RFC 9110 section 5.3), and two are refused. "" = none.
func idempotencyKey(h http.Header) (string, *Problem) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	bad := strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
	if len(values) > 1 || key == "" || len(key) > maxKey || bad {
		return "", &Problem{Status: http.StatusBadRequest, Detail: "Send at most one Idempotency-Key, " +
			"of 1 to 255 visible ASCII characters without spaces and commas, such as a UUID."}
	}
	return key, nil
}

// Seed is the [Command.Seed] of a request, in 43 characters: a digest of the route, the caller ("" = anonymous), the
// Idempotency-Key and the body, decoded. The body counts by its meaning, so white space, the order of members and escapes make no
// difference. A field added to the type without omitempty changes it: a retry across such a release is a new request.
func Seed(route, caller, key string, body any) string {
	canonical, _ := json.Marshal(body, json.Deterministic(true)) // it was read from JSON: there is no error
	var request []byte
	for _, part := range []string{route, caller, key, string(canonical)} {
		request = binary.BigEndian.AppendUint64(request, uint64(len(part))) // so that the bounds between parts count
		request = append(request, part...)
	}
	digest := sha256.Sum256(request)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}
