package web

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
)

// HandleQuery makes the endpoint of a query. Each field of In with a tag `path:"id"` or `query:"city"` is filled in; embedded
// structs are flattened. Its type and further tags define what is accepted:
//
//	string      1 character or more; oneof:"contact machine" lists the values
//	int         a whole number from min:"1" to max:"100"
//	time.Time   RFC 3339, or a date, which is its first moment in UTC
//
// An absent query parameter has the value of the tag default:"20", or is zero. One that is unknown, duplicate, empty,
// malformed, out of range or not UTF-8 is 400, all of them in one answer, as is an Invalid error of h (see [Problem] for
// others). It answers 200.
//
// A query with a path value reads one resource: with Prefer: wait=N (RFC 7240) it waits up to N seconds, at most 20, while h
// returns events.NotFound, and says so in Preference-Applied. It calls h again after 10 ms, then ever more slowly up to 250 ms.
//
// Out is encoded by the rules of encoding/json/v2: a nil list is [], and omitempty omits "", [], {} and null, not 0 and false,
// for which there is omitzero.
func HandleQuery[In, Out any](h func(context.Context, In) (Out, error)) http.Handler {
	ps := parametersOf(reflect.TypeFor[In]())
	return &query[In, Out]{ps, len(ps.pathNames()) > 0, h}
}

type query[In, Out any] struct {
	parameters
	byPath bool // it reads one resource
	handle func(context.Context, In) (Out, error)
}

func (q *query[In, Out]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in In
	if faults := q.read(r, reflect.ValueOf(&in).Elem()); len(faults) > 0 {
		p := invalidParameters
		p.Errors = faults
		p.Write(w, r)
		return
	}
	get := func(ctx context.Context) (Out, error) { return q.handle(ctx, in) }
	var out Out
	var err error
	if q.byPath {
		out, err = waitUntilFound(w, r, get)
	} else {
		out, err = get(r.Context())
	}
	if err != nil {
		fail(w, r, err, invalidParameters)
		return
	}
	writeJSON(w, r, http.StatusOK, &out)
}

// parameters are what a query reads from path and query string.
type parameters []parameter

// pathNames are the names that the route must have, sorted; [Router] compares them.
func (ps parameters) pathNames() (names []string) {
	for _, p := range ps {
		if p.path {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	return names
}

// read fills v from path and query string.
func (ps parameters) read(r *http.Request, v reflect.Value) (faults []events.FieldError) {
	fault := func(pointer, detail string) {
		if detail != "" {
			faults = append(faults, events.FieldError{Pointer: pointer, Detail: detail})
		}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		fault("", "the query string is malformed: two hex digits must follow each %, and ; is written %3B")
	}
	known := "this request has no parameters"
	for _, p := range ps {
		given, fallback := values[p.name], p.fallback
		switch {
		case p.path:
			given = []string{r.PathValue(p.name)}
		case known == "this request has no parameters":
			known = "known are " + p.name
		default:
			known += ", " + p.name
		}
		if !p.path {
			delete(values, p.name)
		}
		switch {
		case given != nil:
			fault(memberPointer(p.name), p.read(v, given))
		case fallback != "":
			p.read(v, []string{fallback})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fault(memberPointer(name), "is unknown; "+known)
	}
	return faults
}

// memberPointer is the JSON pointer (RFC 6901) to the member of that name.
func memberPointer(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(strings.ToValidUTF8(name, "\uFFFD"))
}
