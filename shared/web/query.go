package web

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// HandleQuery makes the endpoint of a query. Each field of In that is to be filled has a tag `path:"id"` or `query:"city"`; embedded
// structs are flattened. Its type and further tags say what is accepted:
//
//	string      1 character or more; max:"200" limits them; oneof:"contact machine" lists what there is
//	int, int64  a whole number; min:"1", max:"100"
//	time.Time   RFC 3339, or a date, which means its first moment in UTC
//
// A query parameter that is absent has the value of the tag default:"20", or is zero. One that is unknown, twice
// there, empty, malformed, out of range or not UTF-8 is 400, all of them in one answer, as is what h refuses as
// events.Invalid (see [Problem] for other errors). It answers 200.
//
// A query with a path value is of one thing: with Prefer: wait=N (RFC 7240) it waits up to N seconds, 20 at most, while h
// says events.NotFound, and says so in Preference-Applied. It asks h again after 10 ms, then ever more slowly up to 250 ms.
//
// Out is encoded by encoding/json/v2's rules: a nil list is [], and omitempty leaves out "", [], {} and null, not 0 and
// false, for which there is omitzero.
//
// HandleQuery panics when In is something else.
func HandleQuery[In, Out any](h func(context.Context, In) (Out, error)) http.Handler {
	return &query[In, Out]{parameters: parametersOf(reflect.TypeFor[In]()), handle: h}
}

type query[In, Out any] struct {
	parameters
	handle func(context.Context, In) (Out, error)
}

func (q *query[In, Out]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in In
	if p := q.read(r, reflect.ValueOf(&in).Elem()); p != nil {
		p.Write(w, r)
		return
	}
	ask := func(ctx context.Context) (Out, error) { return q.handle(ctx, in) }
	var out Out
	var err error
	if len(q.path) > 0 {
		out, err = askUntilFound(w, r, ask)
	} else {
		out, err = ask(r.Context())
	}
	if err != nil {
		fail(w, r, err, queries)
		return
	}
	writeJSON(w, r, http.StatusOK, &out)
}

// read fills v from path and query. nil = all of it is acceptable.
func (ps *parameters) read(r *http.Request, v reflect.Value) *Problem {
	var found faults
	for _, p := range ps.path {
		value := r.PathValue(p.name)
		if why := p.set(v.FieldByIndex(p.index), value); why != "" {
			found.add(memberPointer(p.name), why)
		}
	}
	for _, p := range ps.query {
		if p.fallback.IsValid() {
			v.FieldByIndex(p.index).Set(p.fallback)
		}
	}
	seen := map[string]int{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil || !utf8.ValidString(name) {
			if !found.add("", "has a parameter whose name is not percent-encoded UTF-8") {
				break
			}
			continue
		}
		var why string
		if i := slices.IndexFunc(ps.query, func(p parameter) bool { return p.name == name }); i < 0 {
			why = ps.unknown()
		} else if seen[name]++; seen[name] == 2 {
			why = "is there twice; send it once"
		} else if seen[name] > 2 {
			continue
		} else if value, err := url.QueryUnescape(rawValue); err != nil {
			why = "is not percent-encoded: two hex digits must follow each %"
		} else {
			why = ps.query[i].set(v.FieldByIndex(ps.query[i].index), value)
		}
		if why != "" && !found.add(memberPointer(name), why) {
			break
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &Problem{Type: typeParameters, Status: http.StatusBadRequest,
		Detail: "See errors for each parameter and what it must be.", Errors: found}
}

func (ps *parameters) unknown() string {
	if len(ps.query) == 0 {
		return "is no parameter of this request, which has none; leave it out"
	}
	names := make([]string, len(ps.query))
	for i, p := range ps.query {
		names[i] = p.name
	}
	return "is no parameter of this request; there are " + strings.Join(names, ", ")
}

// memberPointer is the JSON pointer (RFC 6901) to the member of that name.
func memberPointer(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
