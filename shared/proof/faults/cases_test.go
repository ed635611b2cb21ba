package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var groupOf = map[string]string{"contact-created": "contacts", "request-created": "requests", "notification": "notifications"}

// sim makes a small history as a run would.
type sim struct {
	history
	clock int64
	ends  map[partition]int64 // the next offset
	value map[position][]byte
}

func (s *sim) tick() when {
	s.clock += 10 * int64(time.Millisecond)
	return when{T: s.clock, End: s.clock}
}

func (s *sim) append(topic string, number int32, key, value []byte, headers ...[2]string) position {
	p := partition{topic, number}
	at := position{topic, number, s.ends[p]}
	s.ends[p]++
	s.value[at] = value
	read := s.tick()
	s.records = append(s.records, record{when: read, position: at, Timestamp: read.T / 1e6, Key: key, Value: value,
		Headers: headers})
	return at
}

// envelope is an event of a body, as the program writes it.
func envelope(topic, id, producer, cause, body string) []byte {
	return fmt.Appendf(nil, `{"eventId":"e-%s","eventType":%q,"data":{"id":%q,"timestamp":"2026-11-23T06:54:21.120Z",%s},`+
		`"metadata":{"timestamp":"2026-11-23T06:54:21.123Z","producer":%q,"causationId":%q}}`, id, topic, id, body[1:len(body)-1],
		producer, cause)
}

// post is a request that is answered with the status; absent if it never was written.
func (s *sim) post(route, id, key, body string, status int, absent bool) position {
	p := post{when: s.tick(), Route: route, Key: key, Body: body, Status: status}
	if !absent {
		topic := routes[route]
		p.position = s.append(topic, 0, []byte(id), envelope(topic, id, "sipeat-api", "", body))
	}
	if status != 0 {
		p.EventID, p.ID = "e-"+id, id
	}
	s.posts = append(s.posts, p)
	return p.position
}

func (s *sim) produce(what, topic string, number int32, value []byte) position {
	at := s.append(topic, number, nil, value, header("h", []byte{0, 255}))
	s.produced = append(s.produced, produced{when: s.tick(), position: at, What: what, Value: value})
	return at
}

func (s *sim) pass(process string, at position, outcome string, stages ...string) {
	e, _ := understand(at.Topic, s.value[at])
	for _, stage := range stages {
		h := hit{when: s.tick(), position: at, Process: process, Stage: stage, Group: groupOf[at.Topic], EventID: e.id}
		if h.End = 0; stage == "ended" {
			h.Outcome = outcome
		}
		s.hits = append(s.hits, h)
		if stage == "effect-begun" {
			s.effects = append(s.effects, effect{when: s.tick(), Sink: "smtp", EventID: e.id, Behaviour: "ok", Delivered: true})
		}
	}
}

func (s *sim) commit(at position) {
	at.Offset++
	s.commits = append(s.commits, commit{when{T: s.tick().T}, at, groupOf[at.Topic]})
}

// handle is what a worker does with the first record of an event, and then with its notification.
func (s *sim) handle(at position, subject string) position {
	s.pass("worker-1/1", at, "done", "decoded")
	e, _ := understand(at.Topic, s.value[at])
	body := fmt.Sprintf(`{"type":%q,"message":"New","subjectId":%q}`, subject, e.resource())
	n := s.append("notification", 0, []byte(e.resource()), envelope("notification", "n-"+e.resource(), "sipeat-api", e.id, body))
	s.pass("worker-1/1", at, "done", "ended")
	s.commit(at)
	return n
}

func letterHeaders(at position, class string) [][2]string {
	return [][2]string{
		header("dead-letter-class", []byte(class)), header("dead-letter-consumer", []byte(groupOf[at.Topic])),
		header("dead-letter-topic", []byte(at.Topic)), header("dead-letter-partition", fmt.Append(nil, at.Partition)),
		header("dead-letter-offset", fmt.Append(nil, at.Offset)),
	}
}

func (s *sim) reject(at position, class string) {
	s.pass("worker-1/1", at, "", "decoded")
	own := [][2]string{header("h", []byte{0, 255})}
	s.append(at.Topic+deadLetters, 0, nil, s.value[at], append(own, letterHeaders(at, class)...)...)
	s.pass("worker-1/1", at, "rejected", "dead-letter-sent", "ended")
	s.commit(at)
}

var sent = []string{"decoded", "claimed", "effect-begun", "effect-done", "completed", "ended"}

// good is a history in which nothing is wrong, although there are a kill in an effect, a retry, poison and a conflict.
func good() *history { return goodWith(func(*sim) {}) }

// goodWith adds what else happens before the end.
func goodWith(more func(*sim)) *history {
	s := &sim{clock: 1e18, ends: map[partition]int64{}, value: map[position][]byte{}}
	s.run = run{when: when{T: s.clock}, Seed: 7, Duration: "1s", Schedule: []scheduled{{"", "F1", "effect-begun", "kill"}},
		Topics: map[string]int32{"contact-created": 2, "request-created": 1, "notification": 1}, Groups: map[string]string{}}
	for topic, group := range groupOf {
		s.run.Groups[group] = topic
	}
	own := func(op, process, topic string, numbers ...int32) {
		s.owned = append(s.owned, owned{when{T: s.tick().T}, op, process, topic, numbers})
	}
	own("assigned", "worker-1/1", "contact-created", 0, 1)
	own("assigned", "worker-1/1", "request-created", 0)
	own("assigned", "worker-2/1", "notification", 0)

	notify := func(at position) {
		s.pass("worker-2/1", at, "done", sent...)
		s.commit(at)
	}
	notify(s.handle(s.post("/contacts", "c-1", "", `{"name":"Ada"}`, 202, false), "contact"))
	notify(s.handle(s.post("/contacts", "c-2", "k", `{"name":"Bob"}`, 0, false), "contact"))
	retry := s.handle(s.post("/contacts", "c-2", "k", `{"name":"Bob"}`, 202, false), "contact")
	s.pass("worker-2/1", retry, "done", "decoded", "ended")
	s.commit(retry)
	notify(s.handle(s.post("/contacts", "c-3", "", `{"name":"Cy"}`, 503, false), "contact"))
	s.post("/contacts", "", "", `{"name":"Dan"}`, 0, true)

	theirs := func(body string) []byte { return envelope("contact-created", "t-1", appProducer, "", body) }
	foreign := s.produce("foreign:no-key", "contact-created", 1, theirs(`{"name":"Eve"}`))
	s.pass("worker-1/1", foreign, "done", "decoded", "ended")
	s.commit(foreign)
	s.reject(s.produce("poison:not-json", "contact-created", 1, []byte("{\xff")), "undecodable")
	s.reject(s.produce("conflict:same-id", "contact-created", 1, theirs(`{"name":"Fay"}`)), "conflict")
	s.produced = append(s.produced, produced{when: s.tick(), position: position{"contact-created", 1, 3}, What: "aborted:contact"})

	order := `{"name":"Gus","city":"Berlin","drinksList":["Tea","tea ","Mate"]}`
	cut := s.handle(s.post("/requests", "r-1", "", order, 202, false), "request")
	s.pass("worker-2/1", cut, "", sent[:3]...)
	s.faults = append(s.faults, fault{when: s.tick(), Kind: "F1", What: "kill", Stage: "effect-begun", Process: "worker-2/1"})
	own("assigned", "worker-3/1", "notification", 0)
	s.pass("worker-3/1", cut, "done", sent...)
	s.commit(cut)

	more(s)
	s.states = []state{{s.tick(), "quiet", ""}, {s.tick(), "converged", ""}}
	s.show()
	return &s.history
}

// show adds what is read at the end.
func (s *sim) show() {
	f := factsOf(&s.history)
	for id, at := range f.kept {
		e := f.events[at]
		data := map[string]any{"eventId": e.id, "createdAt": e.made}
		for name, value := range e.data {
			data[name] = value
		}
		b, _ := json.Marshal(data)
		s.items = append(s.items, item{Topic: id.topic, ID: id.id, Data: string(b)})
	}
	s.rebuilt = []rebuilt{{when: s.tick(), Same: true}}
	s.demands = []demand{{City: "Berlin", Drink: "Tea", Count: 1}, {City: "Berlin", Drink: "Mate", Count: 1}}
	for _, process := range []string{"api-1/1", "worker-1/1", "worker-3/1"} {
		c := counters{when: s.tick(), Process: process, Values: map[string]float64{}}
		for _, h := range s.hits {
			if h.Process == process && h.Stage == "ended" {
				c.count(h, 1)
			}
		}
		s.counters = append(s.counters, c)
		s.memory = append(s.memory, memory{Process: process, Peak: 100 << 20})
	}
	s.counters[0].Values[`sipeat_publish_duration_seconds_count{outcome="written",topic="contact-created"}`] = 4
	s.counters[0].Values[`sipeat_publish_duration_seconds_count{outcome="written",topic="request-created"}`] = 1
}

// count corrects the counters of a process by n ends.
func (c counters) count(h hit, n float64) {
	c.Values[fmt.Sprintf("sipeat_events_handled_total{consumer=%q,outcome=%q,topic=%q}", groupOf[h.Topic], h.Outcome, h.Topic)] += n
	if h.Outcome == "rejected" {
		c.Values[fmt.Sprintf(`sipeat_dead_letters_total{class="refused",consumer=%q,topic=%q}`, groupOf[h.Topic], h.Topic)] += n
	}
}

// reread judges a history as it is read from its file.
func reread(t *testing.T, h *history) verdict {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "history.jsonl"))
	require.NoError(t, err)
	defer file.Close()
	w := &writer{to: file}
	for _, line := range h.lines() {
		require.NoError(t, w.write(line))
	}
	h, err = readHistory(file.Name())
	require.NoError(t, err)
	v := judge(h)
	written := v.write(t, filepath.Dir(file.Name()))
	require.Contains(t, string(written), fmt.Sprintf(`"green": %t`, v.Green))
	return v
}

func texts(v verdict) (all []string) {
	for _, j := range v.Invariants {
		for _, x := range j.Violations {
			all = append(all, j.ID+": "+x.Text)
		}
	}
	return append(all, v.Gaps...)
}

func TestAGoodHistoryIsGreen(t *testing.T) {
	v := reread(t, good())
	require.True(t, v.Green, "%s", strings.Join(texts(v), "\n"))
	assert.Equal(t, []string{"n-r-1 reached smtp 2 times: 1 cut by a fault, 0 not confirmed by the receiver"}, v.Doubtful)
	require.Len(t, v.Faults, 1)
	assert.Positive(t, v.Faults[0].P50, "the partition had to be taken over")
	var table bytes.Buffer
	v.print(&table, "history.jsonl")
	assert.Regexp(t, `(?m)^F1 +effect-begun +1 +1 +1 +0.\d+s +0.\d+s$`, table.String())
	assert.Contains(t, table.String(), "GREEN")
}

func TestAnEmptyHistoryIsRed(t *testing.T) {
	h, err := parse(strings.NewReader(""))
	require.NoError(t, err)
	v := judge(h)
	assert.False(t, v.Green)
	for i, j := range v.Invariants {
		assert.True(t, j.NotJudged != "" || slices.Contains(v.Gaps, invariants[i].id+" had nothing to examine"), j.ID)
	}
}

// pick is the index of the first line for which ok is true.
func pick[L any](lines []L, ok func(L) bool) int {
	i := slices.IndexFunc(lines, ok)
	if i < 0 {
		panic("no such line")
	}
	return i
}

func (h *history) hitOf(topic string, number int32, offset int64, process, stage string) int {
	return pick(h.hits, func(x hit) bool {
		return x.position == position{topic, number, offset} && x.Stage == stage && x.Process == process
	})
}

func (h *history) commitAt(topic string, number int32, offset int64) int {
	return pick(h.commits, func(c commit) bool { return c.position == position{topic, number, offset} })
}

func (h *history) recordAt(topic string, offset int64) *record {
	return &h.records[pick(h.records, func(r record) bool { return r.Topic == topic && r.Offset == offset })]
}

func (h *history) itemOf(id string) int {
	return pick(h.items, func(i item) bool { return i.ID == id })
}

const ms = int64(time.Millisecond)

func TestEachDefectIsFound(t *testing.T) {
	for _, c := range []struct {
		want, text string
		defect     func(h *history)
	}{
		{"I1", "was accepted and is not on the topic", func(h *history) {
			h.posts = append(h.posts, post{when: when{2e18, 2e18}, Route: "/contacts", Body: `{"name":"Zoe"}`, Status: 202,
				position: position{"contact-created", 0, 99}, EventID: "e-z", ID: "z"})
			h.counters = h.counters[1:] // the API's
		}},
		{"I1", "is not what was posted", func(h *history) { h.posts[0].Body = `{"name":"Ada "}` }},
		{"I1", "was accepted here, where another record is", func(h *history) { h.posts[0].Offset = 1 }},
		{"I1", "say what was posted", func(h *history) { h.posts[1].Status, h.counters = 400, h.counters[1:] }},
		{"I1", "has another key", func(h *history) { h.recordAt("request-created", 0).Key = []byte("x") }},
		{"I1", "is not what was written", func(h *history) { h.produced[0].Value = []byte("x") }},
		{"I1", "of an aborted transaction", func(h *history) { h.produced[3].Offset = 0 }},
		{"I2", "handled the record twice while it kept the partition", func(h *history) {
			x := h.hits[h.hitOf("request-created", 0, 0, "worker-1/1", "ended")]
			x.T += ms
			h.hits = append(h.hits, x)
			h.counters[1].count(x, 1)
		}},
		{"I2", "after the record's commit", func(h *history) {
			x := h.hits[h.hitOf("notification", 0, 0, "worker-2/1", "decoded")]
			x.Process, x.T = "worker-3/1", h.states[0].T
			end := x
			end.T, end.Stage, end.Outcome = x.T+ms, "ended", "done"
			h.hits = append(h.hits, x, end)
			h.counters[2].count(end, 1)
		}},
		{"I2", "never handled to its end", func(h *history) { // its dead letter was sent, and then the offset committed
			i := h.hitOf("contact-created", 1, 2, "worker-1/1", "ended")
			h.counters[1].count(h.hits[i], -1)
			h.hits = slices.Delete(h.hits, i, i+1)
		}},
		{"I3", "was committed 20ms before the record below it had ended", func(h *history) {
			h.commits[h.commitAt("request-created", 0, 1)].T = h.hits[h.hitOf("request-created", 0, 0, "worker-1/1", "ended")].T - 20*ms
		}},
		{"I4", "before the first of this key had ended", func(h *history) { // the retry of c-2, whose commit comes later
			h.hits[h.hitOf("contact-created", 0, 1, "worker-1/1", "ended")].T = h.hits[h.hitOf("contact-created", 0, 2,
				"worker-1/1", "decoded")].T + ms
			h.commits[h.commitAt("contact-created", 0, 2)].T = h.commits[h.commitAt("contact-created", 0, 3)].T
		}},
		{"I5", "without owning the partition", func(h *history) {
			x := h.hits[h.hitOf("request-created", 0, 0, "worker-1/1", "decoded")]
			for i := range h.owned {
				if o := &h.owned[i]; o.Topic == x.Topic {
					h.owned = append(h.owned, owned{when{T: x.T - ms}, "revoked", o.Process, o.Topic, o.Partitions},
						owned{when{T: h.states[0].T}, "assigned", o.Process, o.Topic, o.Partitions})
				}
			}
		}},
		{"I5", "handled one partition at once", func(h *history) { // c-2's handler runs elsewhere, into that of c-3
			for _, x := range h.hits {
				if x.position == (position{"contact-created", 0, 3}) && x.Stage == "decoded" {
					end := x
					end.Process, end.T, end.Stage = "worker-4/1", x.T+ms, "effect-done"
					x.Process, x.T, x.Offset = "worker-4/1", x.T-ms, 2
					end.Offset = 2
					h.hits = append(h.hits, x, end)
					h.owned = append(h.owned, owned{when{T: h.owned[0].T}, "assigned", x.Process, x.Topic, []int32{0}})
				}
			}
		}},
		{"I6", "reached smtp 2 times", func(h *history) { h.effects = append(h.effects, h.effects[0]) }},
		{"I6", "never reached smtp", func(h *history) { h.effects = h.effects[1:] }},
		{"I6", "reached smtp 2 times", func(h *history) { // the kill was before the effect
			h.faults[0].T -= 500 * ms
			h.faults[0].End = h.faults[0].T
		}},
		{"I7", "is not in the read model", func(h *history) { h.items = slices.Delete(h.items, h.itemOf("c-1"), h.itemOf("c-1")+1) }},
		{"I7", "is not what the event says", func(h *history) {
			i := &h.items[h.itemOf("c-1")]
			i.Data = strings.Replace(i.Data, "Ada", "ada", 1)
		}},
		{"I7", "names another event or time", func(h *history) {
			i := &h.items[h.itemOf("t-1")]
			i.Data = strings.Replace(i.Data, "21.123Z", "21.124Z", 1)
		}},
		{"I7", "no record says so", func(h *history) {
			h.items = append(h.items, item{Topic: "contact-created", ID: "x", Data: `{"id":"x"}`})
		}},
		{"I7", "the events say 1", func(h *history) { h.demands[1].Count = 2 }},
		{"I7", "is another: contact-created \"c-1\" differs", func(h *history) {
			h.rebuilt[0] = rebuilt{Output: "contact-created \"c-1\" differs: event \"e-c-1\" (1) and event \"e-c-1\" (2)\n"}
		}},
		{"I7", "was not built again: no table", func(h *history) { h.rebuilt[0] = rebuilt{Output: "no table"} }},
		{"I7", "was not built again", func(h *history) { h.rebuilt = nil }},
		{"I8", "is not the record that was rejected", func(h *history) {
			h.recordAt("contact-created.dead-letters", 0).Value = []byte("{\ufffd")
		}},
		{"I8", "is not the record that was rejected", func(h *history) {
			h.recordAt("contact-created.dead-letters", 1).Headers[0] = header("h", nil)
		}},
		{"I8", "has no dead letter", func(h *history) {
			*h.recordAt("contact-created.dead-letters", 0) = *h.recordAt("contact-created.dead-letters", 1)
		}},
		{"I8", "rejected without a cause", func(h *history) {
			h.rejects(position{"contact-created", 1, 0}, "worker-1/1")
		}},
		{"I9", "went back from 3 to 1, by worker-9/1", func(h *history) {
			last := h.commits[h.commitAt("contact-created", 1, 3)]
			back, again := last, last
			back.T, back.Offset, again.T = last.T+ms, 1, last.T+2*ms
			h.commits = append(h.commits, back, again)
			h.hits = append(h.hits, hit{when: when{T: back.T + ms}, position: back.position, Process: "worker-9/1", Stage: "commit-sent"})
		}},
		{"I10", "became 2 events", func(h *history) { h.posts[3].EventID = "e-other" }},
		{"I11", "2 requests with Idempotency-Key \"k\" became 2 events", func(h *history) { h.posts[1].EventID = "e-other" }},
		{"I12", "used 513 MiB of 512", func(h *history) { h.memory[1].Peak = 513 << 20 }},
		{"I13", "counts 1 request-created done; the history has 0", func(h *history) {
			h.counters[2].count(hit{position: position{Topic: "request-created"}, Outcome: "done"}, 1)
		}},
		{"I13", "the API counts 2 contact-created written", func(h *history) {
			h.counters[0].Values[`sipeat_publish_duration_seconds_count{outcome="written",topic="contact-created"}`] = 1
			h.counters[1].Values[`sipeat_publish_duration_seconds_count{outcome="written",topic="contact-created"}`] = 1
			h.posts[3].Status = 202
		}},
		{"I14", "lag 3", func(h *history) { h.states = append(h.states, state{when{T: 2e18}, "stuck", "lag 3"}) }},
		{"I14", "did not converge within", func(h *history) { h.states[1].T += int64(quietTime) }},
		{"I14", "is not committed to its end", func(h *history) {
			i := h.commitAt("request-created", 0, 1)
			h.commits = slices.Delete(h.commits, i, i+1)
		}},
		{"I14", "request-created/0 has 0 owners", func(h *history) {
			h.owned = append(h.owned, owned{when{T: h.states[0].T}, "revoked", "worker-1/1", "request-created", []int32{0}})
		}},
		{"F1 a panic was scheduled and not hit", "", func(h *history) {
			h.run.Schedule = append(h.run.Schedule, scheduled{"", "F1", "effect-begun", "a panic"})
		}},
		{"F1 kill was scheduled and not hit", "", func(h *history) { // twice, and hit once
			h.run.Schedule = append(h.run.Schedule, h.run.Schedule[0])
		}},
	} {
		t.Run(c.want+" "+c.text, func(t *testing.T) {
			h := good()
			c.defect(h)
			v := reread(t, h)
			assert.Equal(t, []string{c.want}, v.red(), "%s", strings.Join(texts(v), "\n"))
			assert.Contains(t, strings.Join(texts(v), "\n"), c.text)
		})
	}
}
