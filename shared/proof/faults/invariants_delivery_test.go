package faults

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

func ended(f *facts, r *findings) {
	for _, s := range f.sources {
		r.Examined++
		ends := f.ends[s.position]
		if f.unhandled(s.position) {
			g, _ := f.removal(s.position)
			if silent := f.silent(s.position, g.T); len(silent) > 0 {
				r.bad(lost, g.T, positions(s.position), "the record was removed before it was handled, which is not reported by %s",
					strings.Join(silent, ", "))
			}
		} else if len(ends) == 0 && !f.converged && f.commitOf(s.position).T == 0 {
			r.NotJudged = "what is not handled yet is not judged: " + unfinished
		} else if len(ends) == 0 {
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
	f.reported(r)
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
				case f.unhandled(at): // a matter of I2
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
		if k.text == "" || f.unhandled(s.position) {
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
		at.Offset += life * f.lives(at.Topic, l.Timestamp*1e6)
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
	f.audited(r)
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
