package faults

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// invariant is a property that every history must have.
type invariant struct {
	id, title string
	check     func(*facts, *findings)
}

var invariants = []invariant{
	{"I1", "what was accepted is on its topic, byte for byte, and nothing else is", accepted},
	{"I2", "each record ends, in one way, and not again once it is committed", ended},
	{"I3", "no offset is committed before everything below it has ended", committedBehind},
	{"I4", "events of one key are handled one after the other, in order", ordered},
	{"I5", "a partition has one owner, and none after it was revoked", owners},
	{"I6", "each notification reaches each receiver once", effectsOnce},
	{"I7", "the read model is the fold of the topics", folded},
	{"I8", "the dead letters are the rejected records, unchanged", rejected},
	{"I9", "committed offsets never go back", forward},
	{"I10", "what was answered with 503 or not at all has one effect or none", unknown},
	{"I11", "requests with one Idempotency-Key are one event", idempotent},
	{"I12", "memory is bounded", bounded},
	{"I13", "the program's counters are true", counted},
	{"I14", "when it is quiet, everything is handled and owned", converged},
}

// The kinds of violation that the table sums up.
const (
	lost  = "lost"
	twice = "twice"
	order = "out of order"
	stuck = "stuck"
	wrong = "wrong"
)

type violation struct {
	Kind string     `json:"kind"`
	Text string     `json:"text"`
	T    int64      `json:"t"`
	At   []position `json:"at,omitzero"`
}

// findings are what the check of an invariant found.
type findings struct {
	Examined   int         `json:"examined"` // 0 = nothing was shown
	Violations []violation `json:"violations"`
}

func (r *findings) bad(kind string, t int64, at []position, format string, args ...any) {
	r.Violations = append(r.Violations, violation{kind, fmt.Sprintf(format, args...), t, at})
}

func positions(at ...position) []position { return at }

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
	unplaced := map[string]bool{} // values that the driver wrote without learning where
	for _, p := range f.produced {
		aborted, at := strings.HasPrefix(p.What, "aborted"), f.at[p.position]
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

func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func ended(f *facts, r *findings) {
	for _, s := range f.sources {
		r.Examined++
		ends := f.ends[s.position]
		if len(ends) == 0 {
			r.bad(lost, s.Timestamp*1e6, positions(s.position), "the record was never handled to its end")
		}
		last := map[string]int64{}
		for _, e := range ends {
			if e.Outcome != ends[0].Outcome {
				r.bad(wrong, e.T, positions(s.position), "the record ended as %s and as %s", ends[0].Outcome, e.Outcome)
			}
			o := owner{e.Process, s.partition()}
			if before := last[e.Process]; before != 0 && f.spanAt(o, before) == f.spanAt(o, e.T) {
				r.bad(twice, e.T, positions(s.position), "%s handled the record twice while it kept the partition", e.Process)
			}
			last[e.Process] = e.T
		}
	}
	for _, h := range f.handlings {
		if f.at[h.at] == nil {
			r.bad(wrong, h.begin, positions(h.at), "%s handled what is no committed record", h.process)
		}
		span := f.spanAt(owner{h.process, h.at.partition()}, h.begin)
		if c := f.commitOf(h.at); c.T != 0 && span.begin > c.T+rounding {
			r.bad(twice, h.begin, positions(h.at), "%s was given the partition after the record's commit, and handled it", h.process)
		}
	}
}

func committedBehind(f *facts, r *findings) {
	first := map[partition]int64{}
	for _, h := range f.handlings {
		p := h.at.partition()
		first[p] = min(cmp.Or(first[p], h.begin), h.begin)
	}
	for p, commits := range f.committed {
		records := f.partitions[p]
		if start := commits[0]; start.T+rounding < cmp.Or(first[p], never) { // the group is older than the history
			records = slices.DeleteFunc(slices.Clone(records), func(s *record) bool { return s.Offset < start.Offset })
		}
		for _, c := range commits {
			for ; len(records) > 0 && records[0].Offset < c.Offset; records = records[1:] {
				r.Examined++
				switch at, t := records[0].position, f.handled[records[0].position]; {
				case t == 0:
					r.bad(lost, c.T, positions(at), "offset %d was committed, and the record below it never ended", c.Offset)
				case t > c.T+rounding:
					r.bad(order, c.T, positions(at), "offset %d was committed %v before the record below it had ended",
						c.Offset, time.Duration(t-c.T))
				}
			}
		}
	}
}

// ordered takes the handlings of each key by their begin.
func ordered(f *facts, r *findings) {
	type key struct {
		partition
		text string
	}
	before := map[position]position{} // the record before, of the same key
	last := map[key]position{}
	keys := map[position]key{}
	for _, s := range f.sources {
		e, understood := f.events[s.position]
		k := key{s.partition(), orderKey(s.Topic, s.Key, e, understood)}
		if k.text == "" {
			continue
		}
		keys[s.position] = k
		if p, ok := last[k]; ok {
			before[s.position] = p
		}
		last[k] = s.position
	}
	running := map[key]handling{} // the one that ended last so far
	latest := map[key]map[owner]handling{}
	for _, h := range f.handlings {
		k, keyed := keys[h.at]
		if !keyed {
			continue
		}
		r.Examined++
		o := owner{h.process, h.at.partition()}
		p, follows := before[h.at]
		end := f.handled[p]
		now, was := running[k], latest[k][o]
		switch {
		case f.zombie(h.process, h.begin) || f.zombie(now.process, now.end):
			continue // counted by owners
		case follows && (end == 0 || end > h.begin) && f.covered(p):
			r.bad(order, h.begin, positions(p, h.at), "%s began the second before the first of this key had ended", h.process)
		case h.begin < now.end && (h.at != now.at || h.process != now.process):
			r.bad(order, h.begin, positions(now.at, h.at), "%s and %s handled events of one key at once", now.process, h.process)
		case was.process != "" && h.at.Offset < was.at.Offset && f.spanAt(o, was.begin) == f.spanAt(o, h.begin):
			r.bad(order, h.begin, positions(was.at, h.at), "%s went back to an earlier event of this key", h.process)
		}
		if latest[k] == nil {
			latest[k] = map[owner]handling{}
		}
		latest[k][o] = h
		if h.end >= now.end {
			running[k] = h
		}
	}
}

func owners(f *facts, r *findings) {
	latest := map[partition]map[string]handling{} // of each process, the one that ended last so far
	for _, h := range f.handlings {
		r.Examined++
		p := h.at.partition()
		if latest[p] == nil {
			latest[p] = map[string]handling{}
		}
		for process, other := range latest[p] {
			switch {
			case process == h.process:
			case other.end <= h.begin:
				delete(latest[p], process)
			case f.zombie(process, other.end) || f.zombie(h.process, h.begin):
				f.zombies++
			default:
				r.bad(twice, h.begin, positions(other.at, h.at), "%s and %s handled one partition at once", process, h.process)
			}
		}
		if h.end >= latest[p][h.process].end {
			latest[p][h.process] = h
		}
		span := f.spanAt(owner{h.process, p}, h.begin)
		switch {
		case span.begin != 0 && h.end <= span.end:
		case f.zombie(h.process, h.end):
			f.zombies++
		default:
			r.bad(twice, h.end, positions(h.at), "%s handled the record without owning the partition", h.process)
		}
	}
}

// claimsKept is the age from which on a notification may have been delivered, so that it is not delivered any more.
const claimsKept = 400 * 24 * time.Hour

func effectsOnce(f *facts, r *findings) {
	type delivery struct{ sink, id string }
	delivered, unconfirmed, ids := map[delivery][]effect{}, map[delivery]int{}, map[string]string{}
	sinks := map[string]bool{}
	for at, e := range f.events {
		if at.Topic == "notification" {
			ids[e.id], ids[e.resource()] = e.resource(), e.resource()
		}
	}
	for _, e := range f.effects {
		sinks[e.Sink] = true
		id, known := ids[e.EventID]
		if !known {
			r.bad(wrong, e.T, nil, "%s received %q, which is no event", e.Sink, e.EventID)
		}
		if d := (delivery{e.Sink, id}); e.Delivered {
			delivered[d] = append(delivered[d], e)
			if e.Behaviour != "ok" {
				unconfirmed[d]++
			}
		}
	}
	doubts := f.doubts()
	for id, at := range f.kept {
		if id.topic != "notification" {
			r.Examined++
			f.announced(id, at, r)
			continue
		}
		made, err := time.Parse(time.RFC3339, f.events[at].made)
		old := err == nil && time.Unix(0, f.run.T).Sub(made) > claimsKept
		done := slices.ContainsFunc(f.ends[at], func(h hit) bool { return h.Outcome == "done" })
		for sink := range sinks {
			r.Examined++
			d := delivery{sink, id.id}
			switch n := len(delivered[d]); {
			case n == 0 && done && !old:
				r.bad(lost, f.ends[at][0].T, positions(at), "notification %s is done and never reached %s", id.id, sink)
			case n > 1+doubts[id.id]+unconfirmed[d]:
				r.bad(twice, delivered[d][n-1].T, positions(at), "notification %s reached %s %d times; %d more than once can be explained",
					id.id, sink, n, doubts[id.id]+unconfirmed[d])
			case n > 1:
				f.doubtful = append(f.doubtful, fmt.Sprintf("%s reached %s %d times: %d cut by a fault, %d not confirmed by the receiver",
					id.id, sink, n, doubts[id.id], unconfirmed[d]))
			}
		}
	}
	slices.Sort(f.doubtful)
}

// appProducer writes its own notifications, so that none is derived from its events.
const appProducer = "sipeat-app"

// announced checks the effect of the other events: one derived notification.
func (f *facts) announced(id resource, at position, r *findings) {
	e, t := f.events[at], f.at[at].Timestamp*1e6
	ids := map[string]bool{}
	for _, p := range f.derived[e.id] {
		ids[f.events[p].id] = true
	}
	done := slices.ContainsFunc(f.ends[at], func(h hit) bool { return h.Outcome == "done" })
	switch n := len(ids); {
	case n > 0 && e.producer == appProducer:
		r.bad(twice, t, positions(at), "%s %s was announced, which its producer does itself", id.topic, id.id)
	case n == 0 && done && e.producer != appProducer:
		r.bad(lost, t, positions(at), "%s %s is done and was never announced", id.topic, id.id)
	case n > 1:
		r.bad(twice, t, positions(at), "%s %s was announced by %d notifications", id.topic, id.id, n)
	}
}

// doubts counts, by notification, the handlings that a fault or the end of the process cut between the begin of the effect and
// the completed claim.
func (f *facts) doubts() map[string]int {
	type try struct {
		process string
		at      position
	}
	type window struct {
		begin int64
		open  int // effects, one for each channel
	}
	begun, doubts := map[try]window{}, map[string]int{}
	cut := func(t try, end int64, completed bool) {
		died := end == never && f.over(t.process)
		if w := begun[t]; w.open > 0 && (died || slices.ContainsFunc(f.faults, func(x fault) bool {
			stopped := x.Kind == "F2" && x.Process == t.process // the lease may have ended meanwhile
			killed := (x.Kind == "F1" || x.Kind == "F3") && x.Process == t.process
			noStore := x.Kind == "F11" && (x.Process == "" || x.Process == t.process)
			return (stopped || !completed && (killed || noStore)) && x.T <= end && max(x.T, x.End) >= w.begin
		})) {
			doubts[f.events[t.at].resource()]++
		}
		delete(begun, t)
	}
	for _, h := range f.hits {
		t := try{h.Process, h.position}
		switch {
		case h.Topic != "notification":
		case h.Stage == "effect-begun":
			w := begun[t]
			begun[t] = window{cmp.Or(w.begin, h.T), w.open + 1}
		case h.Stage == "completed" && begun[t].open > 1:
			begun[t] = window{begun[t].begin, begun[t].open - 1}
		case h.Stage == "completed" || h.Stage == "ended" || h.Stage == "decoded":
			cut(t, h.T, h.Stage == "completed")
		}
	}
	for t := range begun {
		cut(t, never, false)
	}
	return doubts
}

func folded(f *facts, r *findings) {
	want, got := map[[3]string]int64{}, map[[3]string]int64{}
	for id, at := range f.kept {
		r.Examined++
		e := f.events[at]
		t := f.at[at].Timestamp * 1e6
		switch shown := f.shown[id]; {
		case len(shown) == 0:
			r.bad(lost, t, positions(at), "%s %s is not in the read model", id.topic, id.id)
		case len(shown) > 1:
			r.bad(twice, t, positions(at), "%s %s is listed %d times", id.topic, id.id, len(shown))
		case !reflect.DeepEqual(shown[0].data, e.data):
			r.bad(wrong, t, positions(at), "%s %s is not what the event says", id.topic, id.id)
		case shown[0].eventID != e.id || e.made != "" && shown[0].created != e.made:
			r.bad(wrong, t, positions(at), "%s %s names another event or time than its first event's", id.topic, id.id)
		}
		drinks, _ := e.data["drinksList"].([]string)
		rows := map[[3]string]bool{}
		for _, drink := range drinks {
			if strings.TrimSpace(drink) != "" {
				rows[place(e.data.text("country"), e.data.text("city"), drink)] = true
			}
		}
		for row := range rows {
			want[row]++
		}
	}
	for id := range f.shown {
		if _, kept := f.kept[id]; !kept {
			r.bad(wrong, f.run.T, nil, "%s %s is in the read model, and no record says so", id.topic, id.id)
		}
	}
	for _, d := range f.demands {
		got[place(d.Country, d.City, d.Drink)] += d.Count
	}
	if !maps.Equal(want, got) {
		for row := range want {
			if got[row] != want[row] {
				r.bad(wrong, f.run.T, nil, "the demand for %q is %d; the events say %d", row, got[row], want[row])
			}
			delete(got, row)
		}
		for row, n := range got {
			r.bad(wrong, f.run.T, nil, "the demand for %q is %d; no event says so", row, n)
		}
	}
}

func rejected(f *facts, r *findings) {
	refused, letters := map[string]bool{}, map[position]int{}
	for _, e := range f.effects {
		if e.Behaviour == "refused-recipient" {
			refused[e.EventID] = true
		}
	}
	for _, l := range f.letters {
		r.Examined++
		at, consumer, class, ok := letter(l)
		source, t := f.at[at], l.Timestamp*1e6
		switch {
		case !ok || l.Topic != at.Topic+deadLetters || consumer != f.groups[at.Topic] || class == "":
			r.bad(wrong, t, positions(l.position), "the headers of a dead letter do not say what was rejected, why and by whom")
			continue
		case source == nil:
			r.bad(wrong, t, positions(l.position, at), "a dead letter of no record")
			continue
		}
		if letters[at]++; letters[at] > 1 {
			f.repeated++
		}
		n := len(source.Headers)
		if class != "too-large" && (!sameBytes(l.Key, source.Key) || !sameBytes(l.Value, source.Value)) ||
			len(l.Headers) < n || !slices.Equal(l.Headers[:n], source.Headers) ||
			slices.ContainsFunc(l.Headers[n:], func(h [2]string) bool { return !strings.HasPrefix(h[0], "dead-letter-") }) {
			r.bad(wrong, t, positions(l.position, at), "a dead letter is not the record that was rejected")
		}
	}
	for _, s := range f.sources {
		ends := f.ends[s.position]
		if len(ends) == 0 {
			continue // a matter of I2
		}
		reject := slices.ContainsFunc(ends, func(h hit) bool { return h.Outcome == "rejected" })
		why := f.mustReject(s.position)
		switch at := positions(s.position); {
		case reject && letters[s.position] == 0:
			r.bad(lost, ends[0].T, at, "the record was rejected and has no dead letter")
		case !reject && letters[s.position] > 0:
			r.bad(wrong, ends[0].T, at, "the record has a dead letter and was not rejected")
		case reject && why == "" && !refused[f.events[s.position].id]:
			r.bad(lost, ends[0].T, at, "the record was rejected without a cause")
		case !reject && why != "":
			r.bad(wrong, ends[0].T, at, "the record was not rejected: %s", why)
		}
	}
}

func forward(f *facts, r *findings) {
	for p, commits := range f.committed {
		for i, c := range commits {
			r.Examined++
			if i > 0 && c.Offset < commits[i-1].Offset {
				r.bad(order, c.T, positions(c.position), "the committed offset of %s/%d went back from %d to %d%s",
					p.topic, p.number, commits[i-1].Offset, c.Offset, f.sender(c))
			}
		}
	}
}

// sender names the process that sent a commit, if it lived to see the answer.
func (f *facts) sender(c commit) string {
	i := slices.IndexFunc(f.hits, func(h hit) bool { return h.Stage == "commit-sent" && h.position == c.position && h.T >= c.T })
	if i < 0 {
		return ""
	}
	return ", by " + f.hits[i].Process
}

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

// defaultMemory is what a process may use, in bytes.
const defaultMemory = 512 << 20

func bounded(f *facts, r *findings) {
	limit := cmp.Or(f.run.Memory, defaultMemory)
	for _, m := range f.memory {
		r.Examined++
		if m.Peak > limit {
			r.bad(wrong, m.T, nil, "%s used %d MiB of %d", m.Process, m.Peak>>20, limit>>20)
		}
	}
}

func counted(f *facts, r *findings) {
	type count struct{ process, topic, outcome string }
	ends, read := map[count]float64{}, map[string]int64{}
	for _, c := range f.counters {
		read[c.Process] = c.T
	}
	for _, h := range f.hits {
		if h.Stage == "ended" && h.T <= read[h.Process] {
			ends[count{h.Process, h.Topic, h.Outcome}]++
		}
	}
	written, api := map[string]float64{}, false
	equal := func(c counters, what string, got, want float64) {
		r.Examined++
		if got != want {
			r.bad(wrong, c.T, nil, "%s counts %v %s; the history has %v", c.Process, got, what, want)
		}
	}
	for _, c := range f.counters {
		for topic, group := range f.groups {
			written[topic] += c.Values[fmt.Sprintf(`sipeat_publish_duration_seconds_count{outcome="written",topic=%q}`, topic)]
			if strings.HasPrefix(c.Process, "api") {
				api = true
				continue
			}
			for _, outcome := range []string{"done", "rejected"} {
				name := fmt.Sprintf("sipeat_events_handled_total{consumer=%q,outcome=%q,topic=%q}", group, outcome, topic)
				equal(c, topic+" "+outcome, c.Values[name], ends[count{c.Process, topic, outcome}])
			}
			letters := 0.0
			for name, n := range c.Values {
				if strings.HasPrefix(name, "sipeat_dead_letters_total{") && strings.Contains(name, fmt.Sprintf("topic=%q", topic)) {
					letters += n
				}
			}
			equal(c, topic+" dead letters", letters, ends[count{c.Process, topic, "rejected"}])
		}
	}
	if !api || slices.ContainsFunc(f.faults, func(x fault) bool { return strings.HasPrefix(x.Process, "api") }) {
		return // counters of a killed process are gone
	}
	for topic, n := range written {
		least, most := 0.0, 0.0
		for _, p := range f.posts {
			if routes[p.Route] == topic && p.Status == 202 {
				least++
			}
			if routes[p.Route] == topic && (p.Status < 400 || p.Status >= 500) {
				most++
			}
		}
		if r.Examined++; topic != "notification" && (n < least || n > most) {
			r.bad(wrong, f.run.T, nil, "the API counts %v %s written; the clients have %v answers of %v requests", n, topic, least, most)
		}
	}
}

// quietTime is how long after the last fault everything must be handled.
const quietTime = time.Minute

func converged(f *facts, r *findings) {
	var quiet, done state
	for _, s := range f.states {
		r.Examined++
		switch s.Op {
		case "quiet":
			quiet = s
		case "stuck":
			r.bad(stuck, s.T, nil, "%s", cmp.Or(s.What, "it did not converge"))
			fallthrough
		default:
			done = s
		}
	}
	took := time.Duration(done.T - quiet.T)
	if quiet.T == 0 || done.T == 0 || took < 0 || done.Op == "converged" && took > quietTime {
		r.bad(stuck, quiet.T, nil, "it did not converge within %v of quiet", quietTime)
	}
	for p, records := range f.partitions {
		commits, last := f.committed[p], records[len(records)-1]
		if len(commits) == 0 || commits[len(commits)-1].Offset <= last.Offset {
			r.bad(stuck, done.T, positions(last.position), "the partition is not committed to its end")
		}
	}
	owned := map[partition][]string{}
	for topic, n := range f.run.Topics {
		for number := range n {
			owned[partition{topic, number}] = nil
		}
	}
	for o := range f.ownership { // also of partitions that were added
		owned[o.partition] = nil
	}
	for p, by := range owned {
		for _, c := range f.counters { // the living
			if f.spanAt(owner{c.Process, p}, done.T).end > done.T {
				by = append(by, c.Process)
			}
		}
		if len(by) != 1 {
			r.bad(stuck, done.T, nil, "in the end %s/%d has %d owners: %v", p.topic, p.number, len(by), by)
		}
	}
}
