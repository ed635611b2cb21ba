package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCommandAccepted(t *testing.T) {
	var got Command[events.Request]
	w := call(post(accept(&got)), "POST", "/requests", `{"name":"Zoë","drinksList":["Mate"]}`, asJSON)
	assert.Equal(t, http.StatusAccepted, w.Code)
	assert.Equal(t, `{"id":"id/1","eventId":"e1","topic":"request-created","partition":2,"offset":3}`, w.Body.String())
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	assert.Equal(t, "/requests/id%2F1", w.Header().Get("Location"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	assert.Equal(t, fmt.Sprint(w.Body.Len()), w.Header().Get("Content-Length"))
	assert.NotEmpty(t, w.Header().Get("X-Request-Id"))
	assert.Equal(t, events.Request{Name: "Zoë", DrinksList: []string{"Mate"}}, got.Body)
	assert.Empty(t, got.Seed)
}

func TestCommandMedia(t *testing.T) {
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{202, []string{"Content-Type: application/json; charset=UTF-8"}},
		{202, []string{`Content-Type: Application/JSON;charset="utf-8";profile=x`}},
		{202, []string{"Content-Type: application/json; charset=utf8"}},
		{202, []string{asJSON, "Content-Encoding: identity"}},
		{415, nil},
		{415, []string{"Content-Type: text/plain"}},
		{415, []string{"Content-Type: application/problem+json"}},
		{415, []string{"Content-Type: application/json; charset=latin1"}},
		{415, []string{"Content-Type: application/json, text/plain"}},
		{415, []string{asJSON, asJSON}},
		{415, []string{asJSON, "Content-Encoding: gzip"}},
		{415, []string{asJSON, "Content-Encoding: identity, br"}},
	} {
		w := call(post(accept(nil)), "POST", "/requests", `{}`, c.headers...)
		assert.Equal(t, c.status, w.Code, c.headers)
		if c.status == 415 {
			assert.Contains(t, strings.ToLower(problemOf(t, w).Detail), "send")
		}
	}
}

func TestCommandSize(t *testing.T) {
	fits := `{"name":"` + strings.Repeat("x", maxBody-11) + `"}`
	require.Len(t, fits, maxBody)
	h := post(accept(nil))
	assert.Equal(t, 202, call(h, "POST", "/requests", fits, asJSON).Code)
	w := call(h, "POST", "/requests", fits+" ", asJSON)
	assert.Equal(t, 413, w.Code)
	assert.Equal(t, "Request Entity Too Large", problemOf(t, w).Title)

	chunked := httptest.NewRequest(http.MethodPost, "/requests",
		io.LimitReader(iotest.OneByteReader(strings.NewReader(fits+strings.Repeat("x", 1000))), 1<<20))
	chunked.Header.Set("Content-Type", "application/json")
	chunked.ContentLength = -1
	rest := chunked.Body
	w = httptest.NewRecorder()
	h.ServeHTTP(w, chunked)
	assert.Equal(t, 413, w.Code)
	left, _ := io.ReadAll(rest)
	assert.Len(t, left, 999, "no more than one byte beyond the limit is read")
}

func TestCommandBrokenBody(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	for err, status := range map[error]int{io.ErrUnexpectedEOF: 400, os.ErrDeadlineExceeded: 408, io.ErrClosedPipe: 499} {
		ctx := map[int]context.Context{499: gone}[status]
		r := httptest.NewRequestWithContext(cmp.Or(ctx, t.Context()), http.MethodPost, "/requests", iotest.ErrReader(err))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		post(accept(nil)).ServeHTTP(w, r)
		assert.Equal(t, status, problemOf(t, w).Status)
	}
}

// Errors of every kind, from both sides, in one table.
func TestErrors(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.7:9092: password=hunter2")
	fields := &events.Error{Kind: events.Invalid, Message: "Two fields are wrong.", Fields: []events.FieldError{
		{Pointer: "/email", Detail: "must be an e-mail address"}, {Pointer: "/phone", Detail: "must be a phone number"}}}
	gone, leave := context.WithCancel(context.Background())
	leave()
	for _, c := range []struct {
		name           string
		ctx            context.Context
		err            error
		command, query int
		level          string
	}{
		{"invalid", nil, fields, 422, 400, "INFO"},
		{"not found", nil, events.Errorf(events.NotFound, "no contact has this id"), 404, 404, "INFO"},
		{"conflict", nil, events.Wrap(events.Conflict, secret, "the id is taken"), 409, 409, "INFO"},
		{"unavailable", nil, &events.Error{Kind: events.Unavailable, Message: "Kafka is not reachable", EventID: "e7",
			RetryAfter: 1500 * time.Millisecond, Err: secret}, 503, 503, "WARN"},
		{"unavailable without a word", nil, fmt.Errorf("publish: %w", &events.Error{Kind: events.Unavailable, Err: secret}), 503, 503,
			"WARN"},
		{"unknown", nil, secret, 500, 500, "ERROR"},
		{"unknown with a message", nil, events.Wrap(events.Unknown, secret, "hunter2"), 500, 500, "ERROR"},
		{"deadline", nil, fmt.Errorf("hunter2: %w", context.DeadlineExceeded), 503, 503, "WARN"},
		{"cancelled here", nil, fmt.Errorf("hunter2: %w", context.Canceled), 503, 503, "WARN"},
		{"client gone", gone, fmt.Errorf("hunter2: %w", context.Canceled), 499, 499, "INFO"},
		{"client gone from a publish", gone, &events.Error{Kind: events.Unavailable, Message: "unknown", EventID: "e7",
			Err: context.Canceled}, 499, 499, "INFO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := cmp.Or(c.ctx, context.Background())
			logger, log := logged()
			h := Router([]Function{
				{Route: "POST /requests", Handler: refuse(c.err)},
				{Route: "GET /requests", Handler: HandleQuery(func(context.Context, struct{}) (string, error) { return "", c.err })},
			}, Options{Logger: logger})
			w := callWith(ctx, h, "POST", "/requests", `{}`, asJSON)
			p := problemOf(t, w)
			assert.Equal(t, c.command, w.Code)
			assert.NotContains(t, w.Body.String(), "hunter2")
			assert.Equal(t, 1, strings.Count(log.String(), "\n"), log)
			assert.Contains(t, log.String(), `"level":"`+c.level+`"`)
			assert.Equal(t, c.level != "INFO", strings.Contains(log.String(), `"error":`), log)
			assert.Contains(t, log.String(), `"request_id":"`+w.Header().Get("X-Request-Id")+`"`)
			var e *events.Error
			if errors.As(c.err, &e) {
				assert.Equal(t, e.EventID, p.EventID)
				assert.Equal(t, e.EventID != "", strings.Contains(log.String(), `"event_id":"e7"`))
			}
			switch {
			case c.command != 503:
				assert.Empty(t, w.Header().Get("Retry-After"))
			case e != nil && e.RetryAfter > 0:
				assert.Equal(t, "2", w.Header().Get("Retry-After"))
			default:
				assert.Equal(t, "5", w.Header().Get("Retry-After"))
			}
			if c.command == 422 {
				assert.Equal(t, []events.FieldError{{Pointer: "/email", Detail: "must be an e-mail address"},
					{Pointer: "/phone", Detail: "must be a phone number"}}, p.Errors)
				assert.Equal(t, "Two fields are wrong.", p.Detail)
				assert.Equal(t, invalidFields.Type, p.Type)
				assert.NotContains(t, log.String(), "phone number", "the request's content is not logged")
			}
			q := callWith(ctx, h, "GET", "/requests", "")
			assert.Equal(t, c.query, q.Code)
			assert.Equal(t, p.Errors, problemOf(t, q).Errors)
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	for _, c := range []struct {
		key  []string
		want string // "" = 400
	}{
		{[]string{"abc"}, "abc"}, {[]string{`"a\b"`}, `"a\b"`},
		{[]string{strings.Repeat("k", 255)}, strings.Repeat("k", 255)}, {[]string{""}, ""},
		{[]string{"a b"}, ""}, {[]string{"a\tb"}, ""}, {[]string{"é"}, ""}, {[]string{"a\x7f"}, ""},
		{[]string{strings.Repeat("k", 256)}, ""}, {[]string{"a", "a"}, ""}, {[]string{"a,a"}, ""},
	} {
		key, p := idempotencyKey(http.Header{"Idempotency-Key": c.key})
		assert.Equal(t, c.want, key, c.key)
		assert.Equal(t, c.want == "", p != nil, c.key)
	}
	key, p := idempotencyKey(http.Header{})
	assert.Empty(t, key)
	assert.Nil(t, p)
	assert.Equal(t, 400, call(post(accept(nil)), "POST", "/requests", "{}", asJSON, "Idempotency-Key: a b").Code)
}

func TestSeed(t *testing.T) {
	seedOf := func(route, caller, key, body string) string {
		var got Command[events.Request]
		h := routed(Function{Route: "POST /requests", Handler: accept(&got)}, Function{Route: "POST /others", Handler: accept(&got)})
		w := callWith(WithCaller(context.Background(), caller), h, "POST", route, body, asJSON, "Idempotency-Key: "+key)
		require.Equal(t, 202, w.Code)
		require.Len(t, got.Seed, 43)
		return got.Seed
	}
	first := seedOf("/requests", "", "k", `{"name":"a","city":"b"}`)
	for _, same := range []string{`{"city":"b","name":"a"}`, "{\n\"n\\u0061me\" : \"\\u0061\", \"city\":\"b\" }",
		`{"name":"a","city":"b","machineId":""}`} {
		assert.Equal(t, first, seedOf("/requests", "", "k", same), same)
	}
	seen := map[string]bool{first: true}
	for _, other := range []string{
		seedOf("/others", "", "k", `{"name":"a","city":"b"}`), seedOf("/requests", "me", "k", `{"name":"a","city":"b"}`),
		seedOf("/requests", "", "k2", `{"name":"a","city":"b"}`), seedOf("/requests", "", "k", `{"name":"b","city":"a"}`),
		seedOf("/requests", "k", "k", `{"name":"a","city":"b"}`),
		seedOf("/requests", "kk", "k", `{}`), seedOf("/requests", "k", "kk", `{}`),
		seedOf("/requests", "", "k", `{"name":"ab"}`), seedOf("/requests", "", "k", `{"name":"a","city":"b","drinksList":[""]}`),
	} {
		assert.False(t, seen[other])
		seen[other] = true
	}
}
