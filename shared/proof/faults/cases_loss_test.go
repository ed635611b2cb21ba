package faults

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// statementOf is an event that its producer announces itself.
func statementOf(id string) []byte {
	return envelope("contact-created", id, appProducer, "", fmt.Sprintf(`{"name":%q}`, id))
}

// loses is retention that passes the consumer: of two records the first is not handled. The loss is reported, and the record
// written again.
func loses(s *sim) {
	s.losesBy("")
}

// losesATopic is the same by a topic that is deleted and created again.
func losesATopic(s *sim) {
	s.losesBy(recreated)
}

func (s *sim) losesBy(why string) {
	const topic = "contact-created"
	lost := s.produce("foreign:to-be-lost", topic, 0, statementOf("l-1"))
	last := s.produce("foreign:to-be-lost", topic, 0, statementOf("l-2"))
	if why == recreated {
		last.Offset++ // it goes, too
	}
	begin := s.tick()
	say := func(by string, from, to int64) {
		s.reports = append(s.reports, report{s.tick(), by, "worker-1/1", topic, 0, from, to, "gone"})
	}
	say("log", lost.Offset, last.Offset)
	say("/readyz", lost.Offset, last.Offset)
	say("doctor", 0, 0)
	for n := range int32(2) {
		if n == 0 || why == recreated {
			s.gone = append(s.gone, gone{when{begin.T, s.tick().T}, topic, n, 0, s.ends[partition{topic, n}], why})
		}
	}
	s.gone[0].To = last.Offset
	if why == recreated {
		maps.DeleteFunc(s.ends, func(p partition, _ int64) bool { return p.topic == topic })
	}
	if why == "" {
		s.handled(last)
	}
	s.handled(s.produce("restored", topic, 0, statementOf("l-1")))
	if why == recreated {
		s.handled(s.produce("restored", topic, 0, statementOf("l-2")))
	}
}

func (s *sim) handled(at position) {
	s.pass("worker-1/1", at, "done", "decoded", "ended")
	s.commit(at)
}

// redrivesTwice is a handler that fails for good until its cause is gone, and two commands that redrive its event.
func redrivesTwice(s *sim) {
	const topic = "contact-created"
	value := envelope(topic, "p-1", "another-app", "", `{"name":"Pia"}`)
	failing := s.produce("fails:panic", topic, 0, value)
	s.reject(failing, "panic")
	begin := s.tick()
	note := func(text string) { s.append(auditTopic, 0, nil, []byte(text)) }
	note(`{"action":"1","kind":"redrive","stage":"begin","count":1}`)
	note(`{"action":"2","kind":"redrive","stage":"begin","count":1}`)
	again := s.append(topic, 0, nil, value, header("h", []byte{0, 255}), header("redrive-consumer", []byte("contacts")),
		header("redrive-of", []byte(failing.id())), header("redrives", []byte("1")))
	note(fmt.Sprintf(`{"action":"2","kind":"redrive","stage":"item","id":%q,"redrive":1,"copy":%q}`, failing.id(), again.id()))
	note(`{"action":"3","kind":"redrive","stage":"begin","count":1}`)
	s.faults = append(s.faults, fault{when{begin.T, s.tick().T}, "F15", redriveTwice, "", ""})
	n := s.handle(again, "contact")
	s.pass("worker-3/1", n, "done", sent...)
	s.commit(n)
}

// id is a position as commands write it.
func (p position) id() string {
	return p.Topic + "/" + strconv.Itoa(int(p.Partition)) + "/" + strconv.FormatInt(p.Offset, 10)
}

// redrivesLater is the same on a topic that was created again.
func redrivesLater(s *sim) {
	losesATopic(s)
	redrivesTwice(s)
}

// rejects makes a record that was done a rejected one.
func (h *history) rejects(at position, process string) {
	i := h.hitOf(at.Topic, at.Partition, at.Offset, process, "ended")
	done := h.hits[i]
	h.hits[i].Outcome = "rejected"
	for _, c := range h.counters {
		if c.Process == process {
			c.count(done, -1)
			c.count(h.hits[i], 1)
		}
	}
	source := h.records[pick(h.records, func(r record) bool { return r.position == at })]
	h.records = append(h.records, record{position: position{at.Topic + deadLetters, 0, 9}, Timestamp: source.Timestamp,
		Key: source.Key, Value: source.Value, Headers: slices.Concat(source.Headers, letterHeaders(at, "refused"))})
}

func TestDefectsOfLossesAndRedrivesAreFound(t *testing.T) {
	t.Parallel()
	without := func(by string) func(*history) {
		return func(h *history) {
			h.reports = slices.DeleteFunc(h.reports, func(r report) bool { return r.By == by })
		}
	}
	copyOf := func(h *history) *record {
		return &h.records[pick(h.records, func(r record) bool {
			return slices.ContainsFunc(r.Headers, func(x [2]string) bool { return x[0] == "redrive-of" })
		})]
	}
	audits := func(stage string) func(*history) {
		return func(h *history) {
			h.records = slices.DeleteFunc(h.records, func(r record) bool {
				return r.Topic == auditTopic && strings.Contains(string(r.Value), stage)
			})
		}
	}
	for _, c := range []struct {
		name   string
		what   func(*sim)
		defect func(*history)
		want   []string
		text   string
	}{
		{"a loss", loses, func(*history) {}, nil, ""},
		{"a loss before a fault", loses, func(h *history) { // which waits for nothing
			h.faults = append(h.faults, fault{when: h.states[0].when, Kind: "F12"})
		}, nil, ""},
		{"a loss that the brokers undo", loses, func(h *history) {
			h.records = append(h.records, *h.recordAt("contact-created", 1))
		}, nil, ""},
		{"a loss", loses, without("log"), []string{"I2"}, "not reported by log"},
		{"a loss", loses, without("doctor"), []string{"I2"}, "not reported by doctor"},
		{"a loss", loses, func(h *history) { h.gone = nil; h.reports = nil }, []string{"I2", "I3", "I4"}, "never handled to its end"},
		{"a loss", loses, func(h *history) { h.reports[0].To++ }, []string{"I2"}, "are gone, and they are not"},
		{"a loss", loses, func(h *history) { // what was written again is not handled
			at := h.hits[len(h.hits)-1].position
			h.hits = slices.DeleteFunc(h.hits, func(x hit) bool { return x.position == at })
		}, []string{"I2", "I3", "I13"}, "never handled to its end"},
		{"a deleted topic", losesATopic, func(*history) {}, nil, ""},
		{"a deleted topic", losesATopic, func(h *history) {
			h.rebuilt[0] = rebuilt{Output: `contact-created "c-1" is in again only`}
		}, nil, ""},
		{"a deleted topic", losesATopic, func(h *history) {
			h.rebuilt[0] = rebuilt{Output: `request-created "r-1" is in again only`}
		}, []string{"I7"}, "built again, is another"},
		{"a deleted topic", losesATopic, without("/readyz"), []string{"I2"}, "not reported by /readyz"},
		{"a deleted topic", losesATopic, func(h *history) { // the old offset is committed on the new topic
			i := len(h.commits) - 1
			old := h.commits[i]
			old.Offset, old.T = 7, h.gone[0].End+ms
			h.commits = slices.Insert(h.commits, i-1, old)
		}, []string{"I3", "I9"}, "before the record below it had ended"},
		{"redrives", redrivesTwice, func(*history) {}, nil, ""},
		{"redrives on a new topic", redrivesLater, func(*history) {}, nil, ""},
		{"redrives", redrivesTwice, audits(`"item"`), []string{"I8"}, "is not on the audit topic"},
		{"redrives", redrivesTwice, audits(`"begin"`), []string{"I8"}, "shows 0 redrives"},
		{"redrives", redrivesTwice, func(h *history) { copyOf(h).Headers[3] = header("redrives", []byte("2")) },
			[]string{"I8"}, "0 copies are on the topic"},
		{"redrives", redrivesTwice, func(h *history) { h.rejects(copyOf(h).position, "worker-1/1") }, []string{"I8"},
			"rejected without a cause"},
		{"redrives", redrivesTwice, func(h *history) { // the handler failed and was taken for done
			h.produced = slices.DeleteFunc(h.produced, func(p produced) bool { return p.What == "fails:panic" })
		}, []string{"I1", "I8"}, "rejected without a cause"},
	} {
		t.Run(c.name+" "+c.text, func(t *testing.T) {
			h := goodWith(c.what)
			c.defect(h)
			v := reread(t, h)
			require.Equal(t, c.want, v.red(), "%s", strings.Join(texts(v), "\n"))
			assert.Contains(t, strings.Join(texts(v), "\n"), c.text)
			for _, s := range v.Faults {
				assert.True(t, len(c.want) > 0 || s.Recovered == s.Hit, "%+v", s)
			}
		})
	}
}
