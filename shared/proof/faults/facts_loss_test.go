package faults

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// life is by how much the offsets of a topic that was created again are moved, so that its log continues that of the topic
// before it.
const life = int64(1) << 40

// lives counts how often a topic was created again before a time.
func (h *history) lives(topic string, t int64) (n int64) {
	for _, g := range h.gone {
		if g.Topic == topic && g.Why == recreated && g.Partition == 0 && t >= g.End {
			n++
		}
	}
	return n
}

// separated is the history with the offsets of recreated topics moved.
func (h *history) separated() *history {
	if !slices.ContainsFunc(h.gone, func(g gone) bool { return g.Why == recreated }) {
		return h
	}
	s := *h
	move := func(at *position, t int64) {
		if at.Offset >= 0 && at.Topic != "" {
			at.Offset += life * h.lives(at.Topic, t)
		}
	}
	s.posts, s.produced, s.hits = slices.Clone(h.posts), slices.Clone(h.produced), slices.Clone(h.hits)
	s.commits, s.records = slices.Clone(h.commits), slices.Clone(h.records)
	s.gone, s.reports = slices.Clone(h.gone), slices.Clone(h.reports)
	for i := range s.posts {
		move(&s.posts[i].position, s.posts[i].End)
	}
	for i := range s.produced {
		move(&s.produced[i].position, max(s.produced[i].T, s.produced[i].End))
	}
	for i := range s.hits {
		move(&s.hits[i].position, s.hits[i].T)
	}
	for i := range s.commits {
		move(&s.commits[i].position, s.commits[i].T)
	}
	for i := range s.records { // those of the topic before were read before
		move(&s.records[i].position, s.records[i].T)
	}
	for i := range s.gone {
		moved := life * h.lives(s.gone[i].Topic, s.gone[i].T)
		s.gone[i].From, s.gone[i].To = s.gone[i].From+moved, s.gone[i].To+moved
	}
	for i := range s.reports {
		if r := &s.reports[i]; r.To > 0 {
			moved := life * h.lives(r.Topic, r.T)
			r.From, r.To = r.From+moved, r.To+moved
		}
	}
	slices.SortStableFunc(s.records, byPosition)
	return &s
}

// removal is what removed a record; false = nothing did.
func (f *facts) removal(at position) (g gone, ok bool) {
	i := slices.IndexFunc(f.gone, func(g gone) bool {
		return g.Topic == at.Topic && g.Partition == at.Partition && g.From <= at.Offset && at.Offset < g.To
	})
	if i < 0 {
		return gone{}, false
	}
	return f.gone[i], true
}

// unhandled reports whether a record was removed before it was handled.
func (f *facts) unhandled(at position) bool {
	_, removed := f.removal(at)
	return removed && f.handled[at] == 0
}

// silent are those that should have reported that a record is gone, and did not.
func (f *facts) silent(at position, since int64) (all []string) {
	for _, by := range []string{"log", "/readyz", "doctor"} {
		if !slices.ContainsFunc(f.reports, func(r report) bool {
			return r.By == by && r.Topic == at.Topic && r.T >= since && (r.Partition == at.Partition || r.Partition == -1) &&
				(r.To == 0 || r.From <= at.Offset && at.Offset < r.To)
		}) {
			all = append(all, by)
		}
	}
	return all
}

// reported checks that what the program reports as gone is.
func (f *facts) reported(r *findings) {
	for _, x := range f.reports {
		if x.To == 0 {
			continue
		}
		from, to := position{x.Topic, x.Partition, x.From}, position{x.Topic, x.Partition, x.To - 1}
		first, some := f.removal(from)
		last, all := f.removal(to)
		if r.Examined++; !some || !all || x.T < min(first.T, last.T) {
			r.bad(wrong, x.T, positions(from, to), "%s reports that offsets %d to %d are gone, and they are not",
				x.By, x.From, x.To-1)
		}
	}
}

// auditTopic records what was done about dead letters.
const auditTopic = "dead-letters-audit"

// audit is a record of it.
type audit struct {
	Stage, Kind, ID, Copy string
	Redrive               int
	t                     int64
}

// redrive names one redrive of a dead letter.
type redrive struct {
	of     position // what was rejected
	number string
}

// addAudit reads a record of the audit topic.
func (f *facts) addAudit(r *record) {
	a := audit{t: r.Timestamp * 1e6}
	if json.Unmarshal(r.Value, &a, json.MatchCaseInsensitiveNames(true)) == nil && a.Kind == "redrive" {
		f.audits = append(f.audits, a)
	}
}

// addCopy notes a record that was redriven.
func (f *facts) addCopy(r *record) {
	last := map[string]string{}
	for _, h := range r.Headers {
		b, _ := base64.StdEncoding.DecodeString(h[1])
		last[h[0]] = string(b)
	}
	of, ok := f.positionOf(last["redrive-of"], r.Timestamp*1e6)
	if !ok {
		return
	}
	f.label[r.position] = "redriven"
	d := redrive{of, last["redrives"]}
	f.copies[d] = append(f.copies[d], r.position)
	f.redriven[of] = append(f.redriven[of], r.position)
}

// positionOf is the position that an id of the program, topic/partition/offset, had at a time.
func (f *facts) positionOf(id string, t int64) (at position, ok bool) {
	parts := strings.Split(id, "/")
	if len(parts) != 3 {
		return position{}, false
	}
	n, noNumber := strconv.ParseInt(parts[1], 10, 32)
	offset, noOffset := strconv.ParseInt(parts[2], 10, 64)
	return position{parts[0], int32(n), offset + life*f.lives(parts[0], t)}, noNumber == nil && noOffset == nil
}

// done reports whether a record, or a copy of it that was redriven, was done.
func (f *facts) done(at position) bool {
	return slices.ContainsFunc(append(positions(at), f.redriven[at]...), func(p position) bool {
		return slices.ContainsFunc(f.ends[p], func(h hit) bool { return h.Outcome == "done" })
	})
}

// redriveTwice is the fault that redrives one dead letter by several commands.
const redriveTwice = "redrive a dead letter twice"

// audited checks that each redrive made one copy, that it is on record, and that it cured what it was for.
func (f *facts) audited(r *findings) {
	known := map[redrive]bool{}
	for _, a := range f.audits {
		if a.Stage != "item" {
			continue
		}
		r.Examined++
		of, _ := f.positionOf(a.ID, a.t)
		written, _ := f.positionOf(a.Copy, a.t)
		d := redrive{of, strconv.Itoa(a.Redrive)}
		known[d] = true
		if copies := f.copies[d]; len(copies) != 1 || copies[0] != written {
			r.bad(wrong, a.t, copies, "the audit topic says that %s was redriven to %s; %d copies are on the topic",
				a.ID, a.Copy, len(copies))
		}
	}
	for d, copies := range f.copies {
		if len(copies) > 1 {
			r.bad(twice, f.at[copies[1]].Timestamp*1e6, copies, "redrive %s of %v wrote %d copies", d.number, d.of, len(copies))
		}
		if !known[d] {
			r.bad(wrong, f.at[copies[0]].Timestamp*1e6, copies, "redrive %s of %v is not on the audit topic", d.number, d.of)
		}
	}
	for _, x := range f.faults {
		if x.What != redriveTwice {
			continue
		}
		begun := 0
		for _, a := range f.audits {
			if a.Stage == "begin" && x.T <= a.t && a.t <= x.End {
				begun++
			}
		}
		if r.Examined++; begun < 2 {
			r.bad(wrong, x.T, nil, "the audit topic shows %d redrives of those that were made at once", begun)
		}
	}
}
