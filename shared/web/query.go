package web

import (
	"context"
	"net/http"
	"reflect"
	"slices"
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
// returns events.NotFound, and reports that in Preference-Applied. It calls h again after 10 ms, then ever more slowly up to
// 250 ms.
//
// Out is encoded by the rules of encoding/json/v2: a nil list is [], and omitempty omits "", [], {} and null, not 0 and false,
// for which there is omitzero.
func HandleQuery[In, Out any](h func(context.Context, In) (Out, error)) http.Handler {
	ps := parametersOf(reflect.TypeFor[In]())
	byPath := slices.ContainsFunc(ps, func(p parameter) bool { return p.path })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if faults := readParameters(ps, r, reflect.ValueOf(&in).Elem()); len(faults) > 0 {
			p := invalidParameters
			p.Errors = faults
			p.Write(w, r)
			return
		}
		get := func(ctx context.Context) (Out, error) { return h(ctx, in) }
		var out Out
		var err error
		if byPath {
			out, err = waitUntilFound(w, r, get)
		} else {
			out, err = get(r.Context())
		}
		if err != nil {
			fail(w, r, err, invalidParameters)
			return
		}
		writeJSON(w, r, http.StatusOK, &out)
	})
}
