package faults

import (
	"cmp"
	"encoding/base64"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	serveName   = "serve" // of the process, where brokers, API and consumers are one
	deadLetters = ".dead-letters"
	rounding    = int64(time.Millisecond) // of a commit's time, which the broker cuts to milliseconds
	// zombieTime is how long a process that was suspended or cut off, or whose coordinator was, may go on before it knows that it
	// was replaced.
	zombieTime = int64(10 * time.Second)
)

// facts are a history, arranged for the invariants.
type facts struct {
	*history
	groups     map[string]string // the consumer group of each source topic
	at         map[position]*record
	sources    []*record // of the source topics, by partition and offset
	letters    []*record // of the dead-letter topics
	audits     []audit
	copies     map[redrive][]position
	redriven   map[position][]position // copies, by what was rejected
	events     map[position]event      // the source records that a reader must understand
	byID       map[string][]position
	derived    map[string][]position // notifications, by the event that caused them
	said       map[string][]position // by fingerprint
	label      map[position]string   // what the driver wrote
	ends       map[position][]hit    // stage "ended"
	handled    map[position]int64    // when it had first ended or its dead letter was written
	handlings  []handling
	partitions map[partition][]*record
	committed  map[partition][]commit
	advances   map[partition][]commit // those that went further than all before
	ownership  map[owner][]span       // by process and partition
	kept       map[resource]position
	spread     map[resource]int // over how many partitions
	shown      map[resource][]shown
	doubtful   []string       // effects that a fault made uncertain
	last       map[string]int // the last incarnation of each process
	zombies    int            // handlings by processes that did not know yet that they were replaced
	converged  bool           // in the end everything was handled
	end        int64          // when that was; what happened later may not be in what was read
	effects    []effect
	repeated   int // dead letters written again
}

type partition struct {
	topic  string
	number int32
}

func (p position) partition() partition { return partition{p.Topic, p.Partition} }

type owner struct {
	process string
	partition
}

type resource struct{ topic, id string }

// span is a time from one moment to another; end 0 = it has not ended.
type span struct{ begin, end int64 }

// handling is one run of a handler, from "decoded" to the last failpoint it passed.
type handling struct {
	span
	at      position
	process string
}

const never = int64(1<<63 - 1)

func factsOf(h *history) *facts {
	h = h.separated()
	f := &facts{history: h, groups: map[string]string{}, at: map[position]*record{}, events: map[position]event{},
		byID: map[string][]position{}, derived: map[string][]position{}, said: map[string][]position{},
		label: map[position]string{}, shown: map[resource][]shown{}, last: map[string]int{},
		ends: map[position][]hit{}, handled: map[position]int64{}, partitions: map[partition][]*record{},
		committed: map[partition][]commit{}, advances: map[partition][]commit{},
		copies: map[redrive][]position{}, redriven: map[position][]position{},
		ownership: map[owner][]span{}, kept: map[resource]position{}, spread: map[resource]int{}}
	for group, topic := range h.run.Groups {
		f.groups[topic] = group
	}
	for _, p := range h.produced {
		if p.Offset >= 0 {
			f.label[p.position] = p.What
		}
	}
	for i := range h.records {
		f.addRecord(&h.records[i])
	}
	f.end = never
	if _, done := f.ending(); done.T != 0 {
		f.end, f.converged = done.T, done.Op == "converged"
	}
	f.effects = slices.DeleteFunc(slices.Clone(h.effects), func(e effect) bool { return !f.converged && e.T > f.end })
	for _, c := range h.commits {
		if f.groups[c.Topic] == c.Group && c.Offset >= 0 && (f.converged || c.T <= f.end-rounding) {
			p := c.partition()
			f.committed[p] = append(f.committed[p], c)
			if n := len(f.advances[p]); n == 0 || c.Offset > f.advances[p][n-1].Offset {
				f.advances[p] = append(f.advances[p], c)
			}
		}
	}
	for _, o := range h.owned {
		name, number := incarnation(o.Process)
		f.last[name] = max(f.last[name], number)
		for _, number := range o.Partitions {
			f.addOwner(owner{o.Process, partition{o.Topic, number}}, o)
		}
	}
	f.addHits()
	f.keep()
	return f
}

func (f *facts) addRecord(r *record) {
	if r.Topic == auditTopic {
		f.addAudit(r)
		return
	}
	// What was read before its removal may be there again: a crash of all brokers undoes a removal that is younger than their last
	// checkpoint (log.flush.start.offset.checkpoint.interval.ms).
	if before := f.at[r.position]; before != nil && sameBytes(before.Key, r.Key) && sameBytes(before.Value, r.Value) {
		return
	}
	f.at[r.position] = r
	if strings.HasSuffix(r.Topic, deadLetters) {
		f.letters = append(f.letters, r)
		return
	}
	f.addCopy(r)
	f.sources = append(f.sources, r)
	f.partitions[r.partition()] = append(f.partitions[r.partition()], r)
	if e, ok := understand(r.Topic, r.Value); ok {
		f.events[r.position] = e
		f.byID[e.id] = append(f.byID[e.id], r.position)
		statement := e.data.fingerprint(r.Topic)
		f.said[statement] = append(f.said[statement], r.position)
		if e.causeID != "" {
			f.derived[e.causeID] = append(f.derived[e.causeID], r.position)
		}
	}
}

// incarnation is the name of a process and its number: "worker-1/3".
func incarnation(process string) (name string, number int) {
	name, text, _ := strings.Cut(process, "/")
	number, _ = strconv.Atoi(text)
	return name, number
}

// over reports whether a process has ended and was started again.
func (f *facts) over(process string) bool {
	name, number := incarnation(process)
	return number < f.last[name]
}

func (f *facts) addOwner(o owner, line owned) {
	spans := f.ownership[o]
	last := len(spans) - 1
	switch open := last >= 0 && spans[last].end == never; {
	case line.Op == "assigned" && !open:
		spans = append(spans, span{line.T, never})
	case line.Op == "revoked" && open:
		spans[last].end = max(line.T, line.End)
	}
	f.ownership[o] = spans
}

// addHits joins the failpoints that one process passed for one record into handlings.
func (f *facts) addHits() {
	type run struct {
		process string
		at      position
	}
	open := map[run]int{}
	for _, h := range f.hits {
		if h.Stage == "commit-sent" || f.groups[h.Topic] != h.Group || h.T > f.end {
			continue
		}
		if h.Stage == "ended" || h.Stage == "dead-letter-sent" {
			if f.handled[h.position] == 0 {
				f.handled[h.position] = h.T
			}
		}
		if h.Stage == "ended" {
			f.ends[h.position] = append(f.ends[h.position], h)
		}
		key := run{h.Process, h.position}
		i, known := open[key]
		if !known || h.Stage == "decoded" {
			i = len(f.handlings)
			f.handlings = append(f.handlings, handling{span{h.T, h.T}, h.position, h.Process})
			open[key] = i
		}
		f.handlings[i].end = h.T
		if h.Stage == "ended" {
			delete(open, key)
		}
	}
	slices.SortStableFunc(f.handlings, func(a, b handling) int { return cmp.Compare(a.begin, b.begin) })
}

// shown is an item as GET shows it.
type shown struct {
	data             payload
	eventID, created string
}

// keep finds the record that each item was made of: the first of its id in a partition. Records of one id in several
// partitions have no order, so the item itself decides between those.
func (f *facts) keep() {
	for _, i := range f.items {
		o, _ := object([]byte(i.Data))
		s := shown{}
		s.data, _ = payloadOf(i.Topic, o)
		s.eventID, _ = o["eventId"].(string)
		s.created, _ = o["createdAt"].(string)
		id := resource{i.Topic, i.ID}
		f.shown[id] = append(f.shown[id], s)
	}
	type place struct {
		resource
		partition int32
	}
	seen := map[place]bool{}
	for _, r := range f.sources {
		e, ok := f.events[r.position]
		if !ok || f.poison(r.position) || f.unhandled(r.position) {
			continue
		}
		id := resource{r.Topic, e.resource()}
		if seen[place{id, r.Partition}] {
			continue
		}
		seen[place{id, r.Partition}] = true
		f.spread[id]++
		if before, other := f.kept[id]; !other || !f.made(id, f.events[before]) && f.made(id, e) {
			f.kept[id] = r.position
		}
	}
}

// made reports whether an event made the item of its id.
func (f *facts) made(id resource, e event) bool {
	return slices.ContainsFunc(f.shown[id], func(s shown) bool {
		return s.eventID == e.id && (e.made == "" || s.created == e.made) && reflect.DeepEqual(s.data, e.data)
	})
}

func (f *facts) poison(at position) bool { return strings.HasPrefix(f.label[at], "poison:") }

// mustReject says why a record must end in the dead letters, "" if it must not.
func (f *facts) mustReject(at position) string {
	e, understood := f.events[at]
	switch {
	case f.poison(at), strings.HasPrefix(f.label[at], "fails:"):
		return f.label[at]
	case !understood:
		return "no reader can understand it"
	case !e.data.same(f.events[f.kept[resource{at.Topic, e.resource()}]].data):
		return "its id is another event's"
	}
	return ""
}

// zombie reports whether a process could not know at that time that its partitions were another's. When a coordinator is killed,
// the next one may know no member of the group: the first that joins it gets all partitions.
func (f *facts) zombie(process string, at int64) bool {
	return slices.ContainsFunc(f.faults, func(x fault) bool {
		return (x.Kind == "F2" || x.Kind == "F6" || x.Kind == "F7") && (x.Process == process || x.Process == "") &&
			x.T <= at && at <= max(x.T, x.End)+zombieTime
	})
}

// letter is the source of a dead letter: the last header of each name counts.
func letter(r *record) (source position, consumer, class string, ok bool) {
	last := map[string]string{}
	for _, h := range r.Headers {
		b, _ := base64.StdEncoding.DecodeString(h[1])
		last[h[0]] = string(b)
	}
	number, noNumber := strconv.ParseInt(last["dead-letter-partition"], 10, 32)
	offset, noOffset := strconv.ParseInt(last["dead-letter-offset"], 10, 64)
	source = position{last["dead-letter-topic"], int32(number), offset}
	return source, last["dead-letter-consumer"], last["dead-letter-class"], noNumber == nil && noOffset == nil
}

// spanAt is the latest time of ownership that had begun at t; zero = none.
func (f *facts) spanAt(o owner, t int64) (at span) {
	for _, s := range f.ownership[o] {
		if s.begin <= t {
			at = s
		}
	}
	return at
}

// commitOf is the first commit that covers a record; zero = none.
func (f *facts) commitOf(at position) commit {
	advances := f.advances[at.partition()]
	i, _ := slices.BinarySearchFunc(advances, at.Offset+1, func(c commit, offset int64) int { return cmp.Compare(c.Offset, offset) })
	if i == len(advances) {
		return commit{}
	}
	return advances[i]
}

// isDerived reports whether a record is the notification of another event.
func (f *facts) isDerived(at position) bool {
	cause := f.events[at].causeID
	return at.Topic == "notification" && cause != "" && f.byID[cause] != nil
}

// covered reports whether a record is the group's to handle: it does not lie before the group's first commit.
func (f *facts) covered(at position) bool {
	return len(f.ends[at]) > 0 || f.commitOf(at).T != 0
}
