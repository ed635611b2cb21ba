package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type page struct {
	Limit  int    `query:"limit" default:"20" min:"1" max:"100"`
	Cursor string `query:"cursor"`
}

type listRequests struct {
	page
	City  string    `query:"city"`
	Type  string    `query:"type" oneof:"contact machine request"`
	Since time.Time `query:"since"`
	Least int       `query:"least" min:"-5" max:"5"`
}

type byID struct {
	ID string `path:"id"`
}

func list(got *listRequests) http.Handler {
	return routed(Function{Name: "list", Route: "GET /things", Handler: HandleQuery(func(_ context.Context, q listRequests) (any,
		error) {
		if got != nil {
			*got = q
		}
		return struct {
			Items []string        `json:"items"`
			Raw   json.RawMessage `json:"raw"`
			Text  string          `json:"text"`
		}{nil, json.RawMessage(`{"a": "\ud800", "a":1}`), "Zoë <&>\u2028"}, nil
	})})
}

func TestQueryAnswers(t *testing.T) {
	var got listRequests
	w := call(list(&got), "GET", "/things?city=K%C3%B6ln+am%20Rhein&since=2026-11-23&type=machine&least=-5", "a body is ignored")
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, listRequests{page: page{Limit: 20}, City: "Köln am Rhein", Type: "machine", Since: time.Date(2026, 11, 23, 0,
		0, 0, 0, time.UTC), Least: -5}, got)
	assert.Equal(t, `{"items":[],"raw":{"a":"`+"\ufffd"+`","a":1},"text":"Zoë <&>`+"\u2028"+`"}`, w.Body.String())
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	assert.Empty(t, w.Header().Get("Vary"), "a list does not wait")

	full := w.Header()
	w = call(list(&got), "HEAD", "/things?&limit=100&&since=2026-11-23T06:54:21.5%2B01:00&cursor="+strings.Repeat("%C3%A9", 10), "")
	assert.Equal(t, 200, w.Code)
	assert.Zero(t, w.Body.Len())
	assert.Equal(t, full.Get("Content-Length"), w.Header().Get("Content-Length"))
	assert.Equal(t, 100, got.Limit)
	assert.Equal(t, "2026-11-23T05:54:21.5Z", got.Since.UTC().Format(time.RFC3339Nano))
}

func TestQueryFaults(t *testing.T) {
	for query, want := range map[string]string{
		"town=x":                       "/town is unknown; known are limit, cursor, city, type, since, least",
		"City=x":                       "/City is unknown",
		"a~/b=1":                       "/a~0~1b is unknown",
		"limit=0":                      "/limit must be a whole number from 1 to 100",
		"limit=101":                    "/limit must be a whole number from 1 to 100",
		"limit=1.5":                    "/limit must be a whole number from 1 to 100",
		"limit=99999999999999999999":   "/limit must be a whole number from 1 to 100",
		"least=-6":                     "/least must be a whole number from -5 to 5",
		"limit=5&limit=5":              "/limit is a duplicate; send it once",
		"city=":                        "/city is empty; give it a value or leave it out",
		"city=%ff":                     "/city is not UTF-8",
		"city=%zz":                     " the query string is malformed: two hex digits must follow each %",
		"%ff=1":                        "/\ufffd is unknown",
		"type=drink":                   "/type must be one of: contact, machine, request",
		"since=yesterday":              "/since must be a time such as 2026-11-23T06:54:21Z (write + as %2B) or a date such as 2026-",
		"since=2026-11-23T06:54+01:00": "/since must be a time such as 2026-11-23T06:54:21Z (write + as %2B) or a date",
		"limit=0&type=x&x=1&city=&city": "/limit must be a whole number from 1 to 100\n" +
			"/city is a duplicate; send it once\n/type must be one of: contact, machine, request\n",
	} {
		w := call(list(nil), "GET", "/things?"+query, "")
		require.Equal(t, 400, w.Code, query)
		p := problemOf(t, w)
		assert.Equal(t, invalidParameters.Type, p.Type)
		assert.True(t, strings.HasPrefix(pointers(&p), want), "%s: %s", query, pointers(&p))
		if !strings.HasSuffix(want, "\n") {
			assert.Len(t, p.Errors, 1, query)
		} else {
			assert.Len(t, p.Errors, 4, query)
		}
	}
	var many strings.Builder
	for i := range 60 {
		fmt.Fprintf(&many, "x%d%s=1&", i, strings.Repeat("y", 300))
	}
	w := call(list(nil), "GET", "/things?"+many.String(), "")
	assert.Len(t, problemOf(t, w).Errors, maxFaults)

	one := things(Options{})
	assert.Equal(t, `"a/b é"`, call(one, "GET", "/things/a%2Fb%20%C3%A9", "").Body.String())
	p := problemOf(t, call(one, "GET", "/things/%ff?x=1", ""))
	assert.Equal(t, "/id is not UTF-8\n/x is unknown; known are none", pointers(&p))
	for _, path := range []string{"/things/", "/things/a/", "/things/a/b"} {
		assert.Equal(t, 404, call(one, "GET", path, "").Code, path)
	}

	refused := routed(Function{Route: "GET /things", Handler: HandleQuery(func(context.Context, page) (int, error) {
		return 0, &events.Error{Kind: events.Invalid, Fields: []events.FieldError{{Pointer: "/cursor", Detail: "is none of ours"}}}
	})})
	p = problemOf(t, call(refused, "GET", "/things?cursor=x", ""))
	assert.Equal(t, 400, p.Status)
	assert.Equal(t, "/cursor is none of ours", pointers(&p))
	assert.Equal(t, invalidParameters.Type, p.Type)

	broken := routed(Function{Route: "GET /things", Handler: HandleQuery(func(context.Context, page) (any, error) {
		return func() {}, nil
	})})
	assert.Equal(t, 500, problemOf(t, call(broken, "GET", "/things", "")).Status, "a result that cannot be encoded")
}
