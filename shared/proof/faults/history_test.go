// Package faults proves the delivery guarantees under faults, from outside: a driver runs the program with load and faults and
// records a history, and a judge reads nothing but the history. Neither imports a handler, the engine or the store.
//
// The history is a file of JSON objects, one a line, in any order. Times are Unix time in nanoseconds, of one clock.
package faults

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// when is the time of a line, and of an interval its end.
type when struct {
	T   int64 `json:"t,omitzero"`
	End int64 `json:"end,omitzero"`
}

// position is the place of a record.
type position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func (p position) String() string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

// The lines of a history, by the value of "op".
type (
	// run is the first line.
	run struct {
		when
		Seed     int64             `json:"seed"`
		Versions map[string]string `json:"versions,omitzero"`
		Duration string            `json:"duration"`
		Mutant   string            `json:"mutant"`
		Topics   map[string]int32  `json:"topics"` // partitions of each source topic
		Groups   map[string]string `json:"groups"` // the topic of each consumer group
		Schedule []scheduled       `json:"schedule"`
		Left     []string          `json:"left,omitzero"`   // faults for which there was no time
		Memory   int64             `json:"memory,omitzero"` // bytes that a process may use; 0 = [defaultMemory]
	}
	scheduled struct {
		At    string `json:"at"`
		Kind  string `json:"kind"` // F1 to F20
		Stage string `json:"stage,omitzero"`
		What  string `json:"what"`
	}

	// post is a request of a client, and the answer. Clients make each body unique, but for retries.
	post struct {
		when
		position
		Client  int    `json:"client"`
		Route   string `json:"route"` // "/contacts"
		Key     string `json:"key"`   // the Idempotency-Key; "" = none
		Body    string `json:"body"`
		Status  int    `json:"status"`  // 0 = no answer
		EventID string `json:"eventId"` // of a 202, and of a 503 that names one
		ID      string `json:"id"`
	}

	// produced is a record that the driver wrote itself.
	produced struct {
		when
		position // Offset -1 = not known
		// "poison:not-json", "fails:panic", "foreign:no-key", "aborted:…", "duplicate:…", "conflict:…"
		What  string `json:"what"`
		Key   []byte `json:"key"` // null = none
		Value []byte `json:"value"`
	}

	// fault is a fault that was applied, from before its begin to after its end: T <= the kill <= End.
	fault struct {
		when
		Kind    string `json:"kind"`
		What    string `json:"what"`
		Stage   string `json:"stage,omitzero"`   // of a kill inside a failpoint
		Process string `json:"process,omitzero"` // "worker-1/3" if one process was killed, stopped or cut off; "" = several
	}

	// hit is a failpoint that a process passed.
	hit struct {
		when
		position
		Process string `json:"process"` // name and incarnation: "worker-1/3"
		Stage   string `json:"stage"`
		Group   string `json:"group"`
		EventID string `json:"eventId"`
		Outcome string `json:"outcome,omitzero"` // of stage "ended": "done" or "rejected"
	}

	// owned is a change of a process's partitions: Op "assigned", or "revoked" when the revoke has returned.
	owned struct {
		when
		Op         string  `json:"op"`
		Process    string  `json:"process"`
		Topic      string  `json:"topic"`
		Partitions []int32 `json:"partitions"`
	}

	// commit is a record of __consumer_offsets, in the order of its partition; the broker's clock has milliseconds.
	commit struct {
		when
		position
		Group string `json:"group"`
	}

	// effect is a message that reached a sink.
	effect struct {
		when
		Sink      string `json:"sink"`
		EventID   string `json:"eventId"`
		Behaviour string `json:"behaviour"` // ok, timeout-after-delivery, 5xx, hang, refused-recipient
		Delivered bool   `json:"delivered"`
	}

	// record is a committed record of a source or dead-letter topic, read at the end.
	record struct {
		when
		position
		Timestamp int64       `json:"timestamp"` // the record's, in milliseconds
		Key       []byte      `json:"key"`       // null = none
		Value     []byte      `json:"value"`
		Headers   [][2]string `json:"headers"` // name, and value in base64
	}

	// item is one of GET's list, as it was answered.
	item struct {
		when
		Topic string `json:"topic"`
		ID    string `json:"id"`
		Data  string `json:"data"`
	}

	// demand is a row of GET /demand.
	demand struct {
		when
		Country string `json:"country"`
		City    string `json:"city"`
		Drink   string `json:"drink"`
		Count   int64  `json:"count"`
	}

	// rebuilt is the outcome of `sipeat rebuild`, which built the read model again and compared it.
	rebuilt struct {
		when
		Same   bool   `json:"same"`
		Output string `json:"output"`
	}

	// counters are what a living process reports at /metrics at the end: `name{label="value",…}`, as printed there.
	counters struct {
		when
		Process string             `json:"process"`
		Values  map[string]float64 `json:"values"`
	}

	memory struct {
		when
		Process string `json:"process"`
		Peak    int64  `json:"peak"` // bytes
	}

	// gone is a range of offsets that a fault removed, from before to after the removal. The records are in the history, read
	// before that.
	gone struct {
		when
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		From      int64  `json:"from"`
		To        int64  `json:"to"` // exclusive
		Why       string `json:"why,omitzero"`
	}

	// report is what the program says about offsets that are gone.
	report struct {
		when
		By        string `json:"by"` // log, /readyz or doctor
		Process   string `json:"process,omitzero"`
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"` // -1 = all
		From      int64  `json:"from"`
		To        int64  `json:"to"` // exclusive; 0 = all
		What      string `json:"what"`
	}

	// state is the state of the whole: Op "quiet", "converged" or "stuck".
	state struct {
		when
		Op   string `json:"op"`
		What string `json:"what,omitzero"`
	}
)

// stages are the failpoints in the order in which an event passes them.
var stages = []string{
	"decoded", "claimed", "effect-begun", "effect-done", "completed", "dead-letter-sent", "commit-sent", "ended",
}

// header is a header of a record line.
func header(name string, value []byte) [2]string {
	return [2]string{name, base64.StdEncoding.EncodeToString(value)}
}

// opOf is the "op" of a line, or "" if the line has it as a field.
func opOf(line any) string {
	switch line.(type) {
	case owned, state:
		return ""
	case produced:
		return "produce"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", line), "faults.")
}

// writer writes a history. It may be used by several goroutines.
type writer struct {
	mu sync.Mutex
	to io.Writer
}

// write appends a line, which is one of the types above.
func (w *writer) write(line any) error {
	b, err := json.Marshal(line, json.FormatNilSliceAsNull(true), json.Deterministic(true))
	if err != nil {
		return err
	}
	if op := opOf(line); op != "" {
		b = slices.Concat([]byte(`{"op":"`+op+`",`), b[1:])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.to.Write(append(b, '\n'))
	return err
}

// recreated is why offsets are gone: their topic was deleted, and then created again when the removal was over.
const recreated = "recreated"

// now is the time of a line.
func now() when { return when{T: time.Now().UnixNano()} }

// history is a history as read; each list is ordered by time.
type history struct {
	run      run
	posts    []post
	produced []produced
	faults   []fault
	hits     []hit
	owned    []owned
	commits  []commit
	effects  []effect
	records  []record
	items    []item
	demands  []demand
	rebuilt  []rebuilt
	counters []counters
	memory   []memory
	states   []state
	gone     []gone
	reports  []report
	broken   []string // lines that cannot be read
}

// readHistory reads the file of a history.
func readHistory(path string) (*history, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

// parse reads a history. A line that cannot be read is noted, because the judge must know.
func parse(r io.Reader) (*history, error) {
	h := &history{}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		b, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(b)) > 0 {
			if err := h.add(b); err != nil {
				h.broken = append(h.broken, fmt.Sprintf("line %d: %v", n, err))
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	byTime(h.posts)
	byTime(h.produced)
	byTime(h.faults)
	byTime(h.hits)
	byTime(h.owned)
	byTime(h.commits)
	byTime(h.effects)
	byTime(h.states)
	byTime(h.gone)
	slices.SortStableFunc(h.records, byPosition)
	return h, nil
}

func byPosition(a, b record) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

func (w when) at() int64 { return w.T }

// byTime keeps the order of lines of equal time.
func byTime[L interface{ at() int64 }](lines []L) {
	slices.SortStableFunc(lines, func(a, b L) int { return cmp.Compare(a.at(), b.at()) })
}

func (h *history) add(b []byte) error {
	var line struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(b, &line); err != nil {
		return err
	}
	switch line.Op {
	case "run":
		return json.Unmarshal(b, &h.run)
	case "post":
		return read(b, &h.posts)
	case "produce":
		return read(b, &h.produced)
	case "fault":
		return read(b, &h.faults)
	case "hit":
		if err := read(b, &h.hits); err != nil || slices.Contains(stages, h.hits[len(h.hits)-1].Stage) {
			return err
		}
		return fmt.Errorf("unknown stage %q", h.hits[len(h.hits)-1].Stage)
	case "assigned", "revoked":
		return read(b, &h.owned)
	case "commit":
		return read(b, &h.commits)
	case "effect":
		return read(b, &h.effects)
	case "record":
		return read(b, &h.records)
	case "item":
		return read(b, &h.items)
	case "demand":
		return read(b, &h.demands)
	case "rebuilt":
		return read(b, &h.rebuilt)
	case "counters":
		return read(b, &h.counters)
	case "memory":
		return read(b, &h.memory)
	case "gone":
		return read(b, &h.gone)
	case "report":
		return read(b, &h.reports)
	case "quiet", "converged", "stuck":
		return read(b, &h.states)
	}
	return fmt.Errorf("unknown op %q", line.Op)
}

func read[L any](b []byte, lines *[]L) error {
	var line L
	err := json.Unmarshal(b, &line)
	if err == nil {
		*lines = append(*lines, line)
	}
	return err
}

// lines are all lines of the history, as they were written.
func (h *history) lines() (all []any) {
	all = append(all, h.run)
	for _, more := range [][]any{
		anys(h.posts), anys(h.produced), anys(h.faults), anys(h.hits), anys(h.owned), anys(h.commits), anys(h.effects),
		anys(h.records), anys(h.items), anys(h.demands), anys(h.rebuilt), anys(h.counters), anys(h.memory), anys(h.states),
		anys(h.gone), anys(h.reports),
	} {
		all = append(all, more...)
	}
	return all
}

func anys[L any](lines []L) (all []any) {
	for _, l := range lines {
		all = append(all, l)
	}
	return all
}

func TestHistoryIsReadAsItWasWritten(t *testing.T) {
	var file bytes.Buffer
	w := &writer{to: &file}
	at := position{"contact-created", 2, 7}
	lines := []any{
		run{when: now(), Seed: 7, Duration: "4m0s", Topics: map[string]int32{"contact-created": 6},
			Groups: map[string]string{"sipeat-contact-consumer": "contact-created"}, Schedule: []scheduled{{At: "12s", Kind: "F1"}}},
		post{when: now(), position: at, Route: "/contacts", Key: "k", Body: `{"op":"\u0000"}`, Status: 202, EventID: "e", ID: "c"},
		produced{when: now(), position: at, What: "poison:empty", Value: []byte{}},
		fault{when: when{1, 2}, Kind: "F1", What: "kill worker-1", Stage: "decoded", Process: "worker-1/1"},
		hit{when: now(), position: at, Process: "worker-1/1", Stage: "ended", EventID: "e", Outcome: "done"},
		owned{when: now(), Op: "assigned", Process: "worker-1/1", Topic: at.Topic, Partitions: []int32{1, 2}},
		commit{when: now(), position: at, Group: "sipeat-contact-consumer"},
		effect{when: now(), Sink: "smtp", EventID: "e", Behaviour: "ok", Delivered: true},
		record{when: now(), position: at, Timestamp: 3, Value: []byte("\xff"), Headers: [][2]string{header("a", []byte{0, 255})}},
		item{when: now(), Topic: at.Topic, ID: "c", Data: `{"id":"c"}`},
		demand{when: now(), Drink: "Tea", Count: 2},
		rebuilt{when: now(), Output: "1 difference"},
		counters{when: now(), Process: "worker-1/1", Values: map[string]float64{`a{b="c"}`: 1}},
		memory{when: now(), Process: "worker-1/1", Peak: 1 << 20},
		state{when: now(), Op: "stuck", What: "lag"},
		gone{when: now(), Topic: at.Topic, Partition: 2, To: 7, Why: recreated},
		report{when: now(), By: "log", Process: "worker-1/1", Topic: at.Topic, Partition: 2, From: 5, To: 7, What: "deleted"},
	}
	for _, l := range lines {
		require.NoError(t, w.write(l))
	}
	file.WriteString("{\"op\":\"what\"}\n{")
	h, err := parse(&file)
	require.NoError(t, err)
	assert.Equal(t, lines, h.lines())
	require.Len(t, h.broken, 2)
	assert.Contains(t, h.broken[0], `line 18: unknown op "what"`)
}
