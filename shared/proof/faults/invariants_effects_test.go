package faults

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

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
		done := f.done(at)
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
	done := f.done(at)
	switch n := len(ids); {
	case n > 0 && e.producer == appProducer:
		r.bad(twice, t, positions(at), "%s %s was announced, which its producer does itself", id.topic, id.id)
	case n == 0 && done && e.producer != appProducer:
		r.bad(lost, t, positions(at), "%s %s is done and was never announced", id.topic, id.id)
	case n > 1:
		r.bad(twice, t, positions(at), "%s %s was announced by %d notifications", id.topic, id.id, n)
	}
}

// expelled reports whether a process lost a partition at some time because it had been stopped, or a fault kept its group's
// coordinator from it: another may have the partition, so it stops its handlers at once.
func (f *facts) expelled(process string, p partition, x fault, at span) bool {
	return (x.Kind == "F2" && x.Process == process || slices.Contains([]string{"F4", "F5", "F6", "F7"}, x.Kind)) &&
		slices.ContainsFunc(f.ownership[owner{process, p}], func(s span) bool {
			return at.begin <= s.end && s.end <= at.end && x.T <= s.end && s.end <= max(x.T, x.End)+zombieTime && s.end != never
		})
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
			noStore := (x.Kind == "F11" || x.Kind == "F17") && (x.Process == "" || x.Process == t.process)
			return (stopped || !completed && (killed || noStore)) && x.T <= end && max(x.T, x.End) >= w.begin ||
				!completed && f.expelled(t.process, t.at.partition(), x, span{w.begin, end})
		})) {
			if e, ok := f.events[t.at]; ok { // or the record is lost
				doubts[e.resource()]++
			}
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
