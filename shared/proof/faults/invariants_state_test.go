package faults

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func folded(f *facts, r *findings) {
	if !f.converged {
		r.NotJudged = "not judged: " + unfinished
		return
	}
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
	f.rebuilds(r)
}

// difference is a line of `sipeat rebuild --compare`.
var difference = regexp.MustCompile(`(?m)^(?:(\S+) (".*")|demand for .*) (?:differs: .*|is in \S+ only)$`)

// rebuilds checks that the program's own comparison finds no difference, either. Which record of several partitions came first is
// another matter each time, and what a fault removed from a topic cannot be built again.
func (f *facts) rebuilds(r *findings) {
	removed := map[resource]bool{}
	for at, e := range f.events {
		if _, gone := f.removal(at); gone {
			removed[resource{at.Topic, e.resource()}] = true
		}
	}
	for _, b := range f.rebuilt {
		r.Examined++
		all := difference.FindAllStringSubmatch(b.Output, -1)
		if !b.Same && len(all) == 0 {
			r.bad(wrong, b.T, nil, "the read model was not built again: %s", b.Output)
		}
		for _, d := range all {
			id, _ := strconv.Unquote(d[2])
			if of := (resource{d[1], id}); f.spread[of] < 2 && !removed[of] {
				r.bad(wrong, b.T, nil, "the read model, built again, is another: %s", d[0])
			}
		}
	}
	done := slices.IndexFunc(f.states, func(s state) bool { return s.Op == "converged" })
	if done >= 0 && len(f.rebuilt) == 0 {
		r.bad(wrong, f.states[done].T, nil, "the read model was not built again to compare")
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

const (
	// quietTime is how long after the last fault everything must be handled.
	quietTime = 5 * time.Minute
	// idleTime is how long all commits may stand still until then: a killed handler's lease of 35 s, the longest delay before a
	// retry, 30 s, and its try.
	idleTime = 75 * time.Second
)

// ending returns when load and faults ended, and when the run did.
func (f *facts) ending() (quiet, done state) {
	for _, s := range f.states {
		if s.Op == "quiet" {
			quiet = s
		} else {
			done = s
		}
	}
	return quiet, done
}

func converged(f *facts, r *findings) {
	quiet, done := f.ending()
	r.Examined += len(f.states)
	if done.Op == "stuck" {
		r.bad(stuck, done.T, nil, "%s", cmp.Or(done.What, "it did not converge"))
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
