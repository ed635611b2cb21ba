//go:build amd64 || arm64

package faults

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveMutants are `sipeat serve` without syncs: on disks that only confirm those of some files, without what the broker's
// journal restores, and with SQLite's left out. Each is to be noticed by one of the invariants.
var serveMutants = []struct {
	mutant
	files string // whose syncs the disk ignores, in the data folder; "" = none
}{
	{mutant{name: "the files of the broker are not synced", caught: []string{"I1"}}, "kafka"},
	{mutant{name: "the journal of the broker is not restored", file: "shared/local/broker.go",
		old: "err := restoreJournal(o.Dir, o.Logger)", new: "err := error(nil)", caught: []string{"I1"}}, ""},
	{mutant{name: "the claims are not synced", caught: []string{"I6"}}, "claims.db"},
	{mutant{name: "the read model is not synced", caught: []string{"I7", "I14"}}, "read-model.db"}, // I14: a torn file is refused
	{mutant{name: "SQLite does not sync", file: "shared/store/sqlite/writer.go", old: `"PRAGMA synchronous = "+mode`,
		new: `"PRAGMA synchronous = off -- "+mode`, caught: []string{"I6", "I7"}}, ""},
}

// TestServeMutants cuts the power of programs that do not sync, and demands that the judge notices it.
func TestServeMutants(t *testing.T) {
	if os.Getenv("MUTANTS") == "" {
		t.Skip("set MUTANTS=all, or the names of some, to cut the power of programs that do not sync")
	}
	ctx := interruptible(t)
	table := fmt.Sprintf("\n%-35s %-10s %s\n", "MUTANT", "CAUGHT BY", "FIRST")
	defer func() { t.Log(table) }()
	for _, m := range serveMutants {
		if only := os.Getenv("MUTANTS"); only != "all" && !strings.Contains(only, m.name) {
			continue
		}
		t.Run(m.title(), func(t *testing.T) {
			var list []blow
			for _, b := range blows() {
				if b.cut && !b.full && slices.Contains([]string{"", "completed", "commit-sent", "ended"}, b.stage) {
					list = append(list, b)
				}
			}
			var lies func(string) bool
			if m.files != "" {
				lies = func(path string) bool { return strings.HasPrefix(path, "data/"+m.files) }
			}
			r := &rig{seed: seedOf(t), mutant: m.mutant}
			run, failed := runServe(ctx, t, r, <-build(ctx, t, m.mutant), time.Second, list, lies)
			if errors.Is(failed, errEnded) {
				table += fmt.Sprintf("%-35s %-10s %s\n", m.name, "-", "it does not start any more")
				return
			}
			v := judgeFile(t, run.path())
			i := slices.IndexFunc(v.Invariants, func(j judged) bool { return j.Violated > 0 && slices.Contains(m.caught, j.ID) })
			require.GreaterOrEqual(t, i, 0, "no invariant of %v noticed the mutant; SEED=%d HISTORY=%s", m.caught, r.seed, r.path())
			table += fmt.Sprintf("%-35s %-10s %s\n", m.name, v.Invariants[i].ID, v.Invariants[i].Violations[0].Text)
			require.NoError(t, os.RemoveAll(r.dir))
		})
	}
}
