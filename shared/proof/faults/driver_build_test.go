package faults

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

const (
	root   = "../../.."
	module = "github.com/sipeat/sipeat"
)

// markers are the failpoints in the sources: comment lines "// failpoint: NAME ARGUMENTS", and how many of each a file has. An
// instrumented build replaces each by a call of the package's function fail.
var markers = map[string]map[string]int{
	"shared/bus/worker.go":                {"decoded": 1, "dead-letter-sent": 1, "ended": 1},
	"shared/bus/kafka/commit.go":          {"commit-sent": 1},
	"shared/bus/kafka/member.go":          {"assigned": 1, "revoked": 2},
	"functions/consumers/announce.go":     {"effect-begun": 1, "effect-done": 1},
	"functions/consumers/notification.go": {"claimed": 1, "effect-begun": 1, "effect-done": 1, "completed": 1},
}

// edits are what an instrumented program has differently, by file. It adds FAULT_CLOCK to the time that others see: that of
// leases and of events. The broker's journal begins again often.
var edits = map[string]struct{ old, new string }{
	"shared/cli/parts.go":              {"a.settings.ClaimsTable, time.Now)", "a.settings.ClaimsTable, clock)"},
	"shared/events/factory.go":         {"f.Now = time.Now", "f.Now = clock"},
	"functions/consumers/functions.go": {"return time.Now()", "return clock()"},
	"shared/local/journal.go":          {"limit: 32 << 20", "limit: 32 << 10"},
}

var marker = regexp.MustCompile(`// failpoint: ([a-z-]+) (.+)`)

// injected are the files that an instrumented build adds. Package failpoint writes the lines of the history to FAULT_TRACE. The
// file FAULT_ARMED holds a [trap]; the process that removes it is the one that falls into it.
var injected = map[string]string{
	"shared/failpoint/failpoint.go": `package failpoint

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

type Line struct {
	Op         string  ` + "`json:\"op\"`" + `
	T          int64   ` + "`json:\"t\"`" + `
	End        int64   ` + "`json:\"end,omitempty\"`" + `
	Process    string  ` + "`json:\"process\"`" + `
	Stage      string  ` + "`json:\"stage,omitempty\"`" + `
	Group      string  ` + "`json:\"group,omitempty\"`" + `
	Topic      string  ` + "`json:\"topic,omitempty\"`" + `
	Partition  int32   ` + "`json:\"partition\"`" + `
	Partitions []int32 ` + "`json:\"partitions,omitempty\"`" + `
	Offset     int64   ` + "`json:\"offset\"`" + `
	EventID    string  ` + "`json:\"eventId,omitempty\"`" + `
	Outcome    string  ` + "`json:\"outcome,omitempty\"`" + `
	Kind       string  ` + "`json:\"kind,omitempty\"`" + `
	What       string  ` + "`json:\"what,omitempty\"`" + `
}

var (
	process, armed = os.Getenv("FAULT_PROCESS"), os.Getenv("FAULT_ARMED")
	trace, _       = os.OpenFile(os.Getenv("FAULT_TRACE"), os.O_APPEND|os.O_WRONLY, 0)
	places         sync.Map
)

func write(l Line) {
	l.T, l.Process = time.Now().UnixNano(), process
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	_, _ = trace.Write(append(b, '\n'))
}

func Hit(l Line) {
	if trace == nil {
		return
	}
	if l.Stage == "decoded" {
		places.Store(l.EventID, l)
	}
	l.Op = "hit"
	write(l)
	b, err := os.ReadFile(armed)
	if err != nil {
		return
	}
	var trap struct{ At, Process, Does, Kind, What, Stage string }
	hit := json.Unmarshal(b, &trap) == nil && trap.At == l.Stage && strings.HasPrefix(process, trap.Process)
	if !hit || os.Remove(armed) != nil {
		return
	}
	write(Line{Op: "fault", Kind: trap.Kind, What: trap.What, Stage: trap.Stage})
	switch trap.Does {
	case "panic":
		panic("injected")
	case "allocate":
		allocate()
	case "hang":
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	select {}
}

// allocate allocates until the system refuses.
func allocate() {
	var size uint64
	b, _ := os.ReadFile("/proc/self/statm")
	_, _ = fmt.Sscan(string(b), &size)
	limit := size*uint64(os.Getpagesize()) + 128<<20
	_ = syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit})
	for {
		kept = append(kept, make([]byte, 1<<20))
	}
}

var kept [][]byte

// Panic panics in the handler of an event that the driver made for that, until the driver says that the cause is gone.
func Panic(stage, eventID string) {
	if stage != "effect-begun" || !strings.HasPrefix(eventID, "event-panic-") {
		return
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(armed), "cured-"+eventID)); err != nil {
		panic("injected")
	}
}

var offset, _ = time.ParseDuration(os.Getenv("FAULT_CLOCK"))

// Now is the process's clock, which may be wrong.
func Now() time.Time { return time.Now().Add(offset) }

func Effect(stage, eventID string) {
	if l, ok := places.Load(eventID); ok {
		place := l.(Line)
		place.Stage = stage
		Hit(place)
	}
}

func Owned(op, topic string, partitions []int32) {
	if trace != nil && len(partitions) > 0 {
		write(Line{Op: op, Topic: topic, Partitions: partitions})
	}
}
`,
	"shared/bus/failpoint.go": `package bus

import "github.com/sipeat/sipeat/shared/failpoint"

func fail(stage string, w *worker, outcome ...string) {
	d := w.current
	l := failpoint.Line{Stage: stage, Group: w.partition.engine.consumer.Group, Topic: d.Topic,
		Partition: d.Partition, Offset: d.Offset, EventID: d.eventID}
	switch {
	case stage == "ended":
		l.Outcome = outcome[0]
	case stage == "dead-letter-sent" && outcome[0] != "rejected":
		return
	}
	failpoint.Hit(l)
}
`,
	"shared/bus/kafka/failpoint.go": `package kafka

import "github.com/sipeat/sipeat/shared/failpoint"

func fail(stage string, m *Member, what any) {
	switch what := what.(type) {
	case []int32:
		failpoint.Owned(stage, m.topic, what)
	case map[int32]int64:
		for n, offset := range what {
			failpoint.Hit(failpoint.Line{Stage: stage, Group: m.group, Topic: m.topic, Partition: n, Offset: offset})
		}
	}
}
`,
	"functions/consumers/failpoint.go": `package consumers

import (
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/failpoint"
)

func fail(stage, eventID string) {
	failpoint.Effect(stage, events.LogID(eventID))
	failpoint.Panic(stage, eventID)
}

var clock = failpoint.Now
`,
	"shared/events/failpoint.go": "package events\n\nimport \"" + module + "/shared/failpoint\"\n\nvar clock = failpoint.Now\n",
	"shared/cli/failpoint.go":    "package cli\n\nimport \"" + module + "/shared/failpoint\"\n\nvar clock = failpoint.Now\n",
}

// mutant is a program with one mistake, which the judge must notice by one of the invariants.
type mutant struct {
	name, file, old, new string
	caught               []string // invariants, each of which is enough
	faults               []string // that provoke it
}

func (m mutant) title() string { return cmp.Or(m.name, "control") }

var mutants = []mutant{
	{"commit before work", "shared/bus/kafka/member.go",
		"offset, epoch, ok := p.Handled()", "offset, epoch, ok := p.next, int32(-1), p.next > p.start", []string{"I3"},
		[]string{"the table is slow", "kill a worker"}},
	{"no claim", "functions/consumers/notification.go",
		"claim, left, err := h.Claims.Claim(ctx, m.ID, c.Name, lease(ctx))",
		"claim, left, err := store.Claimed, time.Duration(0), error(nil)", []string{"I6"},
		[]string{"write records twice", "kill a worker at effect-done"}},
	{"no key order", "shared/bus/partition.go", "q := p.queues[d.key]", "q := (*keyQueue)(nil)", []string{"I4"},
		[]string{"write records twice", "write records twice"}},
	{"drop on revoke", "shared/bus/partition.go", "\tp.giveBack()\n\treturn err",
		"\tif n := len(p.window); n > 0 {\n\t\tp.handled = p.window[n-1].Offset + 1\n\t}\n\tp.giveBack()\n\treturn err",
		[]string{"I2", "I3"},
		[]string{"end a worker under load", "stop a worker for longer than its session", "end a worker under load"}},
	{"mark before effect", "functions/consumers/notification.go", "\terr = c.Notify(ctx, m)\n",
		"\tif err = h.Claims.Complete(ctx, m.ID, c.Name); err != nil {\n\t\treturn false, err\n\t}\n\terr = c.Notify(ctx, m)\n",
		[]string{"I6"},
		[]string{"the mail server and the webhook fail often"}},
	{"dead letter not awaited", "shared/bus/kafka/deadletters.go",
		"\t_, err := await(ctx, d.producer.produce(ctx, toKgo(l.Encode())))\n\treturn err",
		"\td.producer.produce(ctx, toKgo(l.Encode()))\n\treturn nil", []string{"I8"},
		[]string{"cut off a broker while dead letters are written, then kill all workers",
			"cut off a broker while dead letters are written, then kill all workers"}},
	{"no idempotent write", "shared/bus/kafka/producer.go", "kgo.ProducerLinger(0),",
		"kgo.ProducerLinger(0), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1),",
		[]string{"I1", "I10", "I11"},
		[]string{"the brokers' answers are lost", "the brokers' answers are lost", "the brokers' answers are lost"}},
	{"unfenced zombie", "shared/bus/kafka/member.go", "\t\tm.giveUp(numbers, 0)\n", "", []string{"I2", "I4", "I5", "I9"},
		[]string{"stop a worker for longer than its session", "stop a worker for longer than its session"}},
}

// overlay writes the sources of an instrumented program and the file for `go build -overlay`.
func overlay(dir string, m mutant) (path string, err error) {
	replace := map[string]string{}
	add := func(file, text string) error {
		target, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return err
		}
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		replace[target] = copied
		return os.WriteFile(copied, []byte(text), 0o600)
	}
	files := map[string]map[string]int{m.file: nil}
	for file, want := range markers {
		files[file] = want
	}
	for file := range edits {
		files[file] = markers[file]
	}
	delete(files, "")
	for file, want := range files {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		text := string(b)
		if m.file == file {
			if n := strings.Count(text, m.old); n != 1 {
				return "", fmt.Errorf("mutant %q: %s has its old text %d times, and must have it once:\n%s", m.name, file, n, m.old)
			}
			text = strings.Replace(text, m.old, m.new, 1)
		}
		found := map[string]int{}
		for _, line := range marker.FindAllStringSubmatch(text, -1) {
			found[line[1]]++
		}
		for _, stage := range append([]string{"assigned", "revoked"}, stages...) {
			if found[stage] != want[stage] {
				return "", fmt.Errorf("%s has %d lines \"// failpoint: %s …\", and must have %d", file, found[stage], stage, want[stage])
			}
		}
		if edit, ok := edits[file]; ok {
			if n := strings.Count(text, edit.old); n != 1 {
				return "", fmt.Errorf("%s has %q %d times, and must have it once", file, edit.old, n)
			}
			text = strings.Replace(text, edit.old, edit.new, 1)
		}
		if err := add(file, marker.ReplaceAllString(text, `fail("$1", $2)`)); err != nil {
			return "", err
		}
	}
	for file, text := range injected {
		if err := add(file, text); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// buildInstrumented builds sipeat with its failpoints, and with the mistake of m if it has a name. The program has a folder of
// its own in dir.
func buildInstrumented(ctx context.Context, dir string, m mutant) (program string, err error) {
	dir = filepath.Join(dir, strings.ReplaceAll(m.title(), " ", "-"))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	path, err := overlay(dir, m)
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "sipeat")
	c := exec.CommandContext(ctx, "go", "build", "-overlay", path, "-o", program, module)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}

// Every failpoint and the place of every mutant is found in the sources; a change there must be repeated here.
func TestFailpointsAndMutantsFitTheSources(t *testing.T) {
	t.Parallel()
	for _, m := range append([]mutant{{}}, mutants...) {
		_, err := overlay(t.TempDir(), m)
		require.NoError(t, err)
	}
	all, err := exec.Command("grep", "-rl", "--include=*.go", "// failpoint: ", filepath.Join(root, "shared"),
		filepath.Join(root, "functions")).Output()
	require.NoError(t, err)
	for _, file := range strings.Fields(string(all)) {
		file, _ = filepath.Rel(root, file)
		if !strings.HasSuffix(file, "_test.go") {
			require.Contains(t, markers, file, "a file with failpoints that no build replaces")
		}
	}
}
