package program

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

// Bodies with the required fields.
const (
	AContact = `{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}`
	aMachine = `{"name":"Hall 3","address":"Platz 1","city":"Berlin","country":"Germany",` +
		`"contactName":"Grace","contactEmail":"grace@example.com","contactPhone":"+49 30 1234567"}`
	aRequest = `{"name":"Alan","email":"alan@example.com","phone":"+44 1908 640404","address":"Bletchley Park",` +
		`"city":"Milton Keynes","country":"UK","drinksList":["Mate"]}`
	aNotification = `{"type":"contact","message":"Somebody called.","subjectId":"c-1"}`
)

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
	Type, Title, Detail, Instance, EventID string
	Status                                 int
	Unreachable                            []string
	Errors                                 []struct{ Pointer, Detail string }
}

// Pointers returns the pointers of the faulty values.
func (p Problem) Pointers() []string {
	var all []string
	for _, e := range p.Errors {
		all = append(all, e.Pointer)
	}
	return all
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
		if value == "" {
			r.Header.Del(name)
		}
	}
	got, err := browser.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	return Answer{got.StatusCode, got.Header, string(b)}, err
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
func (s *Serving) Readable(path, id string) Thing {
	s.T.Helper()
	var a Answer
	for end := time.Now().Add(WaitTimeout); a.Status != http.StatusOK && time.Now().Before(end); {
		a = Call(s.T, "GET", s.URL+path+"/"+url.PathEscape(id), "", "Prefer: wait=20")
	}
	require.Equal(s.T, http.StatusOK, a.Status, "%s %s: %s", path, id, a.Body)
	return Decoded[Thing](s.T, a.Body)
}

// page is one page of a list.
type page struct {
	Items      []Thing
	NextCursor *string
}

// Pages reads a list to its end; query is "city=Berlin&" or empty.
func (s *Serving) Pages(path, query string, limit int) []Thing {
	s.T.Helper()
	var all []Thing
	for cursor := ""; ; {
		a := Call(s.T, "GET", fmt.Sprintf("%s%s?%slimit=%d%s", s.URL, path, query, limit, cursor), "")
		require.Equal(s.T, http.StatusOK, a.Status, a.Body)
		p := Decoded[page](s.T, a.Body)
		all = append(all, p.Items...)
		if p.NextCursor == nil {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(*p.NextCursor)
	}
}

// Decoded parses JSON.
func Decoded[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}
