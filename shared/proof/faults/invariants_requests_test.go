package faults

import (
	"bytes"
	"slices"
	"strings"
)

func accepted(f *facts, r *findings) {
	posts := map[string]int{} // that may have been written, by fingerprint
	for _, p := range f.posts {
		topic := routes[p.Route]
		body, _ := object([]byte(p.Body))
		said, _ := payloadOf(topic, body)
		if p.Status < 400 || p.Status >= 500 {
			posts[said.fingerprint(topic)]++
		}
		if p.Status != 202 {
			continue
		}
		r.Examined++
		e, understood := f.events[p.position]
		switch {
		case f.at[p.position] == nil:
			r.bad(lost, p.End, positions(p.position), "event %s was accepted and is not on the topic", p.EventID)
		case !understood || p.Topic != topic || e.id != p.EventID || e.resource() != p.ID:
			r.bad(lost, p.End, positions(p.position), "event %s was accepted here, where another record is", p.EventID)
		case !e.data.same(said, "id"):
			r.bad(wrong, p.End, positions(p.position), "event %s is not what was posted", p.EventID)
		case string(f.at[p.position].Key) != orderKey(topic, nil, e, true):
			r.bad(wrong, p.End, positions(p.position), "event %s has another key than its subject's id", p.EventID)
		}
	}
	unplaced := map[string]bool{} // values that the driver wrote without learning where, or where else
	for _, p := range f.produced {
		aborted, at := strings.HasPrefix(p.What, "aborted"), f.at[p.position]
		unplaced[string(p.Value)] = unplaced[string(p.Value)] || f.embeddedBrokerEnded(p.when)
		switch {
		case p.Offset < 0:
			unplaced[string(p.Value)] = true
			continue
		case aborted && at != nil:
			r.bad(wrong, p.T, positions(p.position), "a record of an aborted transaction counts as committed")
		case !aborted && at == nil:
			r.bad(lost, p.T, positions(p.position), "the record (%s) is not on the topic", p.What)
		case !aborted && !(sameBytes(at.Key, p.Key) && sameBytes(at.Value, p.Value)):
			r.bad(wrong, p.T, positions(p.position), "the record (%s) is not what was written", p.What)
		}
		r.Examined++
	}
	for statement, at := range f.said {
		at = slices.DeleteFunc(slices.Clone(at), func(p position) bool {
			return f.label[p] != "" || unplaced[string(f.at[p].Value)] || f.isDerived(p)
		})
		if len(at) > posts[statement] {
			r.bad(twice, f.at[at[0]].Timestamp*1e6, at, "%d records say what was posted %d times", len(at), posts[statement])
		}
	}
	for _, s := range f.sources {
		if _, understood := f.events[s.position]; !understood && f.label[s.position] == "" && !unplaced[string(s.Value)] {
			r.bad(wrong, s.Timestamp*1e6, positions(s.position), "a record that nobody wrote")
		}
	}
}

// embeddedBrokerEnded reports whether the broker of `sipeat serve` ended meanwhile: it may store twice what was in flight.
func (f *facts) embeddedBrokerEnded(w when) bool {
	return slices.ContainsFunc(f.faults, func(x fault) bool {
		return strings.HasPrefix(x.Process, serveName) && x.T <= w.End && max(x.T, x.End) >= w.T
	})
}

func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// request identifies what a client sent: a retry is the same.
type request struct{ route, key, body string }

func (f *facts) requests() map[request][]post {
	all := map[request][]post{}
	for _, p := range f.posts {
		if p.Status < 400 || p.Status >= 500 {
			k := request{p.Route, p.Key, p.Body}
			all[k] = append(all[k], p)
		}
	}
	return all
}

// eventsOf are the ids of the events, on the topic or in answers, that a request became, and of the notifications of these.
func (f *facts) eventsOf(k request, posts []post) (ids, announced map[string]bool, at []position) {
	ids, announced = map[string]bool{}, map[string]bool{}
	body, _ := object([]byte(k.body))
	said, _ := payloadOf(routes[k.route], body)
	for _, p := range f.said[said.fingerprint(routes[k.route])] {
		if f.label[p] == "" && !f.isDerived(p) {
			ids[f.events[p].id], at = true, append(at, p)
		}
	}
	for _, p := range posts {
		if p.EventID != "" {
			ids[p.EventID] = true
		}
	}
	for id := range ids {
		for _, p := range f.derived[id] {
			announced[f.events[p].id] = true
		}
	}
	return ids, announced, at
}

func unknown(f *facts, r *findings) {
	for k, posts := range f.requests() {
		repeated := k.key == "" && len(posts) > 1 // the client meant it more than once
		if repeated || !slices.ContainsFunc(posts, func(p post) bool { return p.Status != 202 }) {
			continue
		}
		r.Examined++
		if k.key != "" {
			continue // I11 says that it is one event
		}
		if ids, announced, at := f.eventsOf(k, posts); len(ids) > 1 || len(announced) > 1 {
			r.bad(twice, posts[0].T, at, "one request without an answer became %d events and %d notifications", len(ids), len(announced))
		}
	}
}

func idempotent(f *facts, r *findings) {
	requests := map[string]request{} // by the event they became
	for k, posts := range f.requests() {
		if k.key == "" {
			continue
		}
		r.Examined++
		ids, announced, at := f.eventsOf(k, posts)
		if len(ids) > 1 || len(announced) > 1 {
			r.bad(twice, posts[0].T, at, "%d requests with Idempotency-Key %q became %d events and %d notifications",
				len(posts), k.key, len(ids), len(announced))
		}
		for id := range ids {
			if other, ok := requests[id]; ok {
				r.bad(lost, posts[0].T, at, "two requests, with Idempotency-Keys %q and %q, became one event", k.key, other.key)
			}
			requests[id] = k
		}
	}
}
