package faults

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// TestCheckHistory judges a recorded history again, without running anything.
func TestCheckHistory(t *testing.T) {
	path := os.Getenv("HISTORY")
	if path == "" {
		t.Skip("set HISTORY=path to judge the history of an earlier run")
	}
	v := judgeFile(t, path)
	require.True(t, v.Green, "seed %d, history %s: %s", v.Seed, path, strings.Join(v.red(), ", "))
}

// verdict is what a history shows.
type verdict struct {
	Green      bool              `json:"green"`
	Seed       int64             `json:"seed"`
	Mutant     string            `json:"mutant"`
	Duration   string            `json:"duration"`
	Versions   map[string]string `json:"versions"`
	Began      int64             `json:"began"`     // when the first request was sent
	Converged  float64           `json:"converged"` // seconds from the end of load and faults; 0 = it did not
	Totals     []total           `json:"totals"`
	Faults     []faultSum        `json:"faults"`
	Invariants []judged          `json:"invariants"`
	Doubtful   []string          `json:"doubtful"` // effects that may be more than once, because a fault cut them
	Gaps       []string          `json:"gaps"`     // what the run did not show
	Left       []string          `json:"left"`     // faults for which there was no time
}

type total struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// faultSum sums up the faults of a kind, or the kills inside a failpoint.
type faultSum struct {
	Kind      string  `json:"kind"`
	Stage     string  `json:"stage"`
	Scheduled int     `json:"scheduled"`
	Hit       int     `json:"hit"`
	Recovered int     `json:"recovered"` // those after which everything went on
	P50       float64 `json:"p50"`       // in seconds, of those that something waited for
	P99       float64 `json:"p99"`
}

type judged struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	findings
	Violated int `json:"violated"` // also those that are not listed
}

// judge checks a history against every invariant.
func judge(h *history) verdict {
	f := factsOf(h)
	v := verdict{Seed: h.run.Seed, Mutant: h.run.Mutant, Duration: h.run.Duration, Versions: h.run.Versions, Began: h.run.T,
		Left: h.run.Left}
	if len(h.posts) > 0 {
		v.Began = h.posts[0].T
	}
	if quiet, done := f.ending(); f.converged {
		v.Converged = time.Duration(done.T - quiet.T).Seconds()
	}
	kinds := map[string]int{}
	for _, i := range invariants {
		j := judged{ID: i.id, Title: i.title}
		i.check(f, &j.findings)
		slices.SortStableFunc(j.Violations, func(a, b violation) int {
			return cmp.Or(cmp.Compare(a.T, b.T), cmp.Compare(a.Text, b.Text))
		})
		for _, x := range j.Violations {
			kinds[x.Kind]++
		}
		j.Violated, j.Violations = len(j.Violations), j.Violations[:min(len(j.Violations), 100)]
		if j.Examined == 0 && j.NotJudged == "" {
			v.Gaps = append(v.Gaps, i.id+" had nothing to examine")
		}
		v.Invariants = append(v.Invariants, j)
	}
	v.Faults = f.faultSums()
	v.Doubtful = f.doubtful
	fault := func(kind, stage, what string) [3]string {
		if stage != "" { // a program that kills itself there describes it in its own words
			what = ""
		}
		return [3]string{kind, stage, what}
	}
	hits := map[[3]string]int{}
	for _, x := range h.faults {
		hits[fault(x.Kind, x.Stage, x.What)]++
	}
	for _, s := range h.run.Schedule {
		one := fault(s.Kind, s.Stage, s.What)
		if hits[one]--; hits[one] < 0 {
			v.Gaps = append(v.Gaps, s.Kind+" "+s.What+" was scheduled and not hit")
		}
	}
	if h.run.T == 0 {
		v.Gaps = append(v.Gaps, "the history has no line of the run")
	}
	v.Gaps = append(v.Gaps, h.broken...)
	answers := map[int]int{}
	for _, p := range h.posts {
		answers[p.Status]++
	}
	v.Totals = []total{
		{"requests", len(h.posts)}, {"accepted", answers[202]}, {"answered with 503", answers[503]},
		{"without an answer", answers[0]},
		{"records", len(f.sources)}, {"handlings", len(f.handlings)}, {"effects", len(f.effects)},
		{"doubtful effects", len(f.doubtful)}, {"dead letters", len(f.letters)},
		{"dead letters written again", f.repeated}, {"handled by fenced zombies", f.zombies},
		{lost, kinds[lost]}, {twice, kinds[twice]}, {order, kinds[order]}, {stuck, kinds[stuck]}, {wrong, kinds[wrong]},
	}
	v.Green = len(v.red()) == 0
	return v
}

// red names the violated invariants, and the gaps.
func (v verdict) red() (ids []string) {
	for _, j := range v.Invariants {
		if j.Violated > 0 {
			ids = append(ids, j.ID)
		}
	}
	return append(ids, v.Gaps...)
}

func (f *facts) faultSums() []faultSum {
	type kind struct{ kind, stage string }
	sums, recovered := map[kind]*faultSum{}, map[kind][]time.Duration{}
	sum := func(k kind) *faultSum {
		if sums[k] == nil {
			sums[k] = &faultSum{Kind: k.kind, Stage: k.stage}
		}
		return sums[k]
	}
	for _, s := range f.run.Schedule {
		sum(kind{s.Kind, s.Stage}).Scheduled++
	}
	for _, x := range f.faults {
		k := kind{x.Kind, x.Stage}
		sum(k).Hit++
		took, waited, ok := f.recovery(x)
		if ok {
			sum(k).Recovered++
		}
		if ok && waited {
			recovered[k] = append(recovered[k], took)
		}
	}
	var all []faultSum
	for k, s := range sums {
		if times := recovered[k]; len(times) > 0 {
			slices.Sort(times)
			s.P50, s.P99 = times[(len(times)-1)/2].Seconds(), times[(len(times)*99+99)/100-1].Seconds()
		}
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b faultSum) int {
		return cmp.Or(cmp.Compare(len(a.Kind), len(b.Kind)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Stage, b.Stage))
	})
	return all
}

// window is how many records of a partition can be in hand.
const window = 2000

// recovery is the time from the end of a fault until each partition that it touched, and that had records to handle, went on.
// waited is false if none had, ok is false if one never went on.
func (f *facts) recovery(x fault) (took time.Duration, waited, ok bool) {
	end := max(x.T, x.End)
	for p, records := range f.partitions {
		if span := f.spanAt(owner{x.Process, p}, x.T); x.Process != "" && (span.begin == 0 || span.end < x.T) {
			continue
		}
		n, _ := slices.BinarySearchFunc(records, end, func(r *record, t int64) int { return cmp.Compare(r.Timestamp*1e6, t) })
		waiting, next := false, never
		for i := max(0, n-window); i < min(len(records), n+window); i++ {
			at := f.handled[records[i].position]
			waiting = waiting || i < n && (at > end || at == 0 && !f.unhandled(records[i].position))
			if at > end {
				next = min(next, at)
			}
		}
		switch {
		case waiting && next == never:
			return 0, true, false
		case waiting:
			took, waited = max(took, time.Duration(next-end)), true
		}
	}
	return took, waited, true
}

// judgeFile judges the history in a file, writes verdict.json beside it, and prints the table.
func judgeFile(t *testing.T, path string) verdict {
	t.Helper()
	h, err := readHistory(path)
	require.NoError(t, err)
	v := judge(h)
	v.print(os.Stdout, path)
	v.write(t, filepath.Dir(path))
	return v
}

// write writes verdict.json.
func (v verdict) write(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := json.Marshal(v, jsontext.WithIndent("  "))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "verdict.json"), append(b, '\n'), 0o600))
	return b
}

// print writes the table.
func (v verdict) print(to io.Writer, path string) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	since := func(t int64) string { return time.Duration(max(0, t-v.Began)).Round(time.Millisecond).String() }
	line("\nseed\t%d\nduration\t%s\nhistory\t%s", v.Seed, v.Duration, path)
	if v.Mutant != "" {
		line("mutant\t%s", v.Mutant)
	}
	for _, t := range v.Totals {
		line("%s\t%d", t.Name, t.Count)
	}
	if v.Converged > 0 {
		line("converged after\t%.1fs of quiet", v.Converged)
	}
	line("\nFAULT\tKILLED IN\tSCHEDULED\tHIT\tRECOVERED\tAFTER P50\tP99")
	for _, s := range v.Faults {
		times := "none\t"
		if s.P99 > 0 {
			times = fmt.Sprintf("%.2fs\t%.2fs", s.P50, s.P99)
		}
		line("%s\t%s\t%d\t%d\t%d\t%s", s.Kind, s.Stage, s.Scheduled, s.Hit, s.Recovered, times)
	}
	line("\nINVARIANT\t\tEXAMINED\tVIOLATED\tFIRST AFTER")
	for _, j := range v.Invariants {
		first := ""
		if j.Violated > 0 {
			first = since(j.Violations[0].T)
		}
		line("%s\t%s\t%d\t%d\t%s", j.ID, j.Title, j.Examined, j.Violated, cmp.Or(first, j.NotJudged))
	}
	w.Flush()
	const shown = 5
	list := func(title string, texts []string) {
		for i, text := range texts {
			if i == 0 {
				line("\n%s", title)
			}
			if i == shown {
				line("  and %d more", len(texts)-shown)
				break
			}
			line("  %s", text)
		}
	}
	for _, j := range v.Invariants {
		var texts []string
		for _, x := range j.Violations {
			text := fmt.Sprintf("after %s: %s %v", since(x.T), strings.ReplaceAll(x.Text, "\n", "; "), x.At)
			texts = append(texts, strings.TrimSuffix(text, " []"))
		}
		if j.Violated > 0 && j.NotJudged != "" {
			texts = append([]string{j.NotJudged}, texts...)
		}
		list(j.ID+": "+j.Title+", but", texts)
	}
	list("Effects that a fault made doubtful", v.Doubtful)
	list("Not shown by this run", v.Gaps)
	if len(v.Left) > 0 {
		line("\nNo time for these; other seeds and longer runs have them: %s", strings.Join(v.Left, "; "))
	}
	result := "GREEN: every invariant holds"
	if !v.Green {
		result = "RED: " + strings.Join(v.red(), ", ")
	}
	line("\n%s", result)
	w.Flush()
}
