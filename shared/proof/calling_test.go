package proof

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the API takes, at its least.
const (
	aContact      = `{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}`
	aMachine      = `{"name":"Hall 3","address":"Platz 1","city":"Berlin","country":"Germany","contactName":"Grace","contactEmail":"grace@example.com","contactPhone":"+49 30 1234567"}`
	aRequest      = `{"name":"Alan","email":"alan@example.com","phone":"+44 1908 640404","address":"Bletchley Park","city":"Milton Keynes","country":"UK","drinksList":["Mate"]}`
	aNotification = `{"type":"contact","message":"Somebody called.","subjectId":"c-1"}`
)

// endpoint is one of the four that take something.
type endpoint struct{ path, topic, body string }

var endpoints = []endpoint{
	{"/contacts", "contact-created", aContact},
	{"/machines", "machine-created", aMachine},
	{"/requests", "request-created", aRequest},
	{"/notifications", "notification", aNotification},
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   string
}

// accepted is the body of a 202.
type accepted struct {
	ID, EventID, Topic string
	Partition          int32
	Offset             int64
}

// problem is the body of an answer that is no success.
type problem struct {
	Type, Title, Detail, Instance, EventID string
	Status                                 int
	Unreachable                            []string
	Errors                                 []struct{ Pointer, Detail string }
}

func (p problem) pointers() []string {
	var all []string
	for _, e := range p.Errors {
		all = append(all, e.Pointer)
	}
	return all
}

// browser keeps no connection: what is tested is the process, which may be another one under the same address.
var browser = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// call sends one request; headers are "Name: value".
func call(t testing.TB, method, address, body string, headers ...string) answer {
	t.Helper()
	a, err := try(method, address, body, headers...)
	require.NoError(t, err)
	return a
}

func try(method, address, body string, headers ...string) (answer, error) {
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	got, err := browser.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, got.Header, string(b)}, err
}

// post posts what must be accepted.
func (s *serving) post(path, body string, headers ...string) accepted {
	s.t.Helper()
	a := call(s.t, "POST", s.url+path, body, headers...)
	require.Equal(s.t, http.StatusAccepted, a.status, a.body)
	got := decoded[accepted](s.t, a.body)
	require.Equal(s.t, path+"/"+got.ID, a.header.Get("Location"))
	return got
}

// thing is one thing as the API shows it.
type thing map[string]any

// readable waits until a thing can be read.
func (s *serving) readable(path, id string) thing {
	s.t.Helper()
	var a answer
	for end := time.Now().Add(patience); a.status != http.StatusOK && time.Now().Before(end); {
		a = call(s.t, "GET", s.url+path+"/"+url.PathEscape(id), "", "Prefer: wait=20")
	}
	require.Equal(s.t, http.StatusOK, a.status, "%s %s: %s", path, id, a.body)
	return decoded[thing](s.t, a.body)
}

// page is one answer of a list.
type page struct {
	Items      []thing
	NextCursor *string
}

// pages reads a list to its end; query is "city=Berlin&" or empty.
func (s *serving) pages(path, query string, limit int) []thing {
	s.t.Helper()
	var all []thing
	for cursor := ""; ; {
		a := call(s.t, "GET", fmt.Sprintf("%s%s?%slimit=%d%s", s.url, path, query, limit, cursor), "")
		require.Equal(s.t, http.StatusOK, a.status, a.body)
		p := decoded[page](s.t, a.body)
		all = append(all, p.Items...)
		if p.NextCursor == nil {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(*p.NextCursor)
	}
}

func decoded[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// with is a document with some fields changed; nil leaves one out.
func with(t testing.TB, document string, changes map[string]any) string {
	t.Helper()
	fields := decoded[map[string]any](t, document)
	for name, value := range changes {
		fields[name] = value
		if value == nil {
			delete(fields, name)
		}
	}
	b, err := json.Marshal(fields)
	require.NoError(t, err)
	return string(b)
}
