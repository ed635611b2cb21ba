package program

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/docs"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/require"
)

// AContact is a body with the required fields.
const AContact = `{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}`

// Answer is a response of the API.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Accepted is the body of a 202.
type Accepted struct {
	ID, EventID, Topic string
	Partition          int32
	Offset             int64
}

// Problem is the body of an error answer.
type Problem struct {
	Type, EventID string
	Status        int
	Errors        []struct{ Pointer string }
}

// browser keeps no connections, because another process may listen at the same address later.
var browser = &http.Client{Timeout: WaitTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

// Call sends one request; headers are "Name: value".
func Call(t testing.TB, method, address, body string, headers ...string) Answer {
	t.Helper()
	a, err := Try(method, address, body, headers...)
	require.NoError(t, err)
	return a
}

// Try is Call for a server that may be down.
func Try(method, address, body string, headers ...string) (Answer, error) {
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	got, err := browser.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	answer := Answer{got.StatusCode, got.Header, string(b)}
	return answer, errors.Join(err, documented(r, answer))
}

var contract = sync.OnceValues(func() (routers.Router, error) {
	functions := slices.Concat(commands.Commands{}.Functions(), queries.Queries{}.Functions(), web.Health())
	document, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI("test", functions))
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(document)
})

// documented returns an error if the answer is not one that the document describes. What is in no document, such as an unknown
// path, is not checked.
func documented(r *http.Request, a Answer) error {
	router, err := contract()
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return nil
	}
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		return nil //nolint:nilerr // a path or method that is not documented
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: parameters},
		Status:                 a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader([]byte(a.Body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		return fmt.Errorf("%s %s: the answer %d is not as the OpenAPI document says: %w", r.Method, r.URL.Path, a.Status, err)
	}
	return nil
}

// Serving is a running `sipeat serve` or `sipeat api`.
type Serving struct {
	*Process
	Data  string // the folder of serve
	URL   string // http://HOST:PORT
	Kafka string // HOST:PORT
}

var readyLine = regexp.MustCompile(`^ready http=(http://127\.0\.0\.1:[0-9]+)(?: kafka=(127\.0\.0\.1:[0-9]+))?\n`)

// Ready waits for the line with the addresses, the first of the output.
func (s *Serving) Ready() {
	s.T.Helper()
	s.Says(s.Stdout, "\n")
	match := readyLine.FindStringSubmatch(s.Stdout.String())
	require.NotNil(s.T, match, s.Stdout)
	s.URL, s.Kafka = match[1], cmp.Or(match[2], s.Kafka)
}

// Post posts a body that must be accepted.
func (s *Serving) Post(path, body string, headers ...string) Accepted {
	s.T.Helper()
	a := Call(s.T, "POST", s.URL+path, body, headers...)
	require.Equal(s.T, http.StatusAccepted, a.Status, a.Body)
	got := Decoded[Accepted](s.T, a.Body)
	require.Equal(s.T, path+"/"+got.ID, a.Header.Get("Location"))
	return got
}

// Thing is an item in an answer of the API.
type Thing map[string]any

// Readable waits until an item can be read and returns it.
func (s *Serving) Readable(path, id string) (item Thing) {
	s.T.Helper()
	Until(s.T, func() error {
		a := Call(s.T, "GET", s.URL+path+"/"+url.PathEscape(id), "", "Prefer: wait=20")
		if a.Status != http.StatusOK {
			return fmt.Errorf("%s/%s: %d %s", path, id, a.Status, a.Body)
		}
		item = Decoded[Thing](s.T, a.Body)
		return nil
	})
	return item
}

// Pages reads a list to its end; query is "city=Berlin&" or empty.
func (s *Serving) Pages(path, query string, limit int) (all []Thing) {
	s.T.Helper()
	for cursor := ""; ; {
		a := Call(s.T, "GET", fmt.Sprintf("%s%s?%slimit=%d%s", s.URL, path, query, limit, cursor), "")
		require.Equal(s.T, http.StatusOK, a.Status, a.Body)
		page := Decoded[struct {
			Items      []Thing
			NextCursor *string
		}](s.T, a.Body)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
}

// Decoded parses JSON.
func Decoded[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}
