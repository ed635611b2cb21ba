//go:build amd64 || arm64

package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sipeat/sipeat/shared/proof/disk"
)

func TestMain(m *testing.M) {
	disk.Launch()
	m.Run()
}

// powerCut is the kind of a fault that [misfortune] does not have: the machine loses its power.
const powerCut = "cut"

// blow ends `sipeat serve` in some way.
type blow struct {
	kind, stage, what string
	// strike returns when the program has ended, false if there was no occasion within [occasion].
	strike func(context.Context, *machine) (bool, error)
	cut    bool // the disk loses what was not synced
	full   bool // and is full when the machine starts again
}

const occasion = 30 * time.Second // on a busy machine; seldom more than 3 s

// blows are each kind of end: kill -9 and power cuts, at any moment, at each failpoint, before and in calls on the disk, and
// while the program starts; and a full disk.
func blows() (all []blow) {
	for _, cut := range []bool{false, true} {
		kind, f18, what := "F1", "F18", "kill -9"
		if cut {
			kind, f18, what = powerCut, powerCut, "power cut"
		}
		all = append(all, blow{kind, "", what, atAnyMoment(cut), cut, false})
		for _, stage := range stages {
			if stage != "ended" {
				all = append(all, blow{kind, stage, what + " at " + stage, atFailpoint(stage), cut, false})
			}
		}
		for _, files := range []string{"kafka/appended.journal", "kafka/groups.log", "read-model.db", "claims.db"} {
			all = append(all, blow{f18, "sync of " + files, what + " in a sync of " + files, atCall(files, "sync", "synced"), cut, false})
		}
		all = append(all, blow{f18, "write", what + " before a write", atCall("", "write"), cut, false},
			blow{kind, "start", what + " while it starts", whileStarting, cut, false})
	}
	return append(all, blow{"F17", "", "the disk is full for a time", fullDisk(false), false, false},
		blow{"F17", "start", "the power is cut while the disk is full, and it starts on the full disk", fullDisk(true), true, true})
}

func atAnyMoment(cut bool) func(context.Context, *machine) (bool, error) {
	return func(ctx context.Context, m *machine) (bool, error) {
		wait(ctx, time.Duration(50+m.random.IntN(3000))*time.Millisecond)
		m.kill(cut)
		return true, nil
	}
}

func atFailpoint(stage string) func(context.Context, *machine) (bool, error) {
	return func(ctx context.Context, m *machine) (bool, error) {
		if err := m.arm(trap{At: stage, Kind: "F1", What: "kill a worker at " + stage, Stage: stage}); err != nil {
			return false, err
		}
		if stage == "dead-letter-sent" {
			what := poisonOf + "not-json"
			records := m.foreign(m.random, what)
			m.writing.Go(func() { m.produce(what, records) }) // it waits for the broker, which may not live to answer
		}
		hit := m.ends(occasion)
		if !hit {
			_ = os.Remove(filepath.Join(m.dir, "armed"))
			m.kill(false)
		}
		return hit, nil
	}
}

// atCall kills at one of the next calls of a kind on some files. A sync may be one of everything.
func atCall(files string, ops ...string) func(context.Context, *machine) (bool, error) {
	return func(ctx context.Context, m *machine) (bool, error) {
		op, left := ops[m.random.IntN(len(ops))], 1+m.random.IntN(10)
		m.killAt(func(e disk.Event) bool {
			if e.Op == op && strings.HasPrefix(e.Path, "data/"+files) {
				left--
			}
			return left == 0
		})
		hit := m.ends(occasion)
		m.killAt(nil)
		if !hit {
			m.kill(false)
		}
		return hit, nil
	}
}

// whileStarting kills at one of the first calls on the disk of the program, which is started for that.
func whileStarting(_ context.Context, m *machine) (bool, error) {
	m.kill(false)
	left := 1 + m.random.IntN(60)
	m.killAt(func(disk.Event) bool { left--; return left == 0 })
	if err := m.powerOn(); err != nil {
		return false, err
	}
	hit := m.ends(occasion)
	m.killAt(nil)
	if !hit {
		m.kill(false)
	}
	return hit, nil
}

// fullDisk fills the disk, and then makes room, or kills.
func fullDisk(kill bool) func(context.Context, *machine) (bool, error) {
	return func(ctx context.Context, m *machine) (bool, error) {
		since := m.logSize()
		m.disk.SetFree(int64(m.random.IntN(256 << 10)))
		err := until(ctx, occasion, func(ctx context.Context) error {
			err := m.serve.ready(ctx)
			if err == nil || !strings.Contains(err.Error(), `"unreachable":["disk"`) {
				return fmt.Errorf("/readyz does not name the full disk: %w", err)
			}
			return nil
		})
		wait(ctx, time.Second)
		if !namesFullDisk(m.said(since)) {
			err = errors.Join(err, errors.New("the log does not name the full disk"))
		}
		if kill {
			m.kill(true)
			return true, err
		}
		m.disk.SetFree(-1)
		return true, errors.Join(err, until(ctx, occasion, m.serve.ready))
	}
}

// runBlows is a run: load and blows for the duration, each at least once, then quiet, then the final reads.
func (m *machine) runBlows(ctx context.Context, t *testing.T, list []blow) error {
	loading, quiet := context.WithCancel(ctx)
	defer quiet()
	var load sync.WaitGroup
	for n := range 2 * clients {
		load.Go(func() { m.load(loading, n) })
	}
	load.Go(func() { m.foreignProducer(loading) })
	var failures error
	for _, b := range list {
		if m.random.IntN(2) == 0 { // or its consumers may not have joined yet
			_ = until(ctx, occasion, m.serve.ready)
		}
		began, begin, process := time.Now(), now(), m.serve.title()
		hit, err := b.strike(ctx, m)
		if hit && !(b.kind == "F1" && slices.Contains(stages, b.stage)) { // that failpoint has noted it
			if b.stage == "start" {
				process = m.serve.title()
			}
			m.record(fault{when{begin.T, time.Now().UnixNano()}, b.kind, b.what, b.stage, process})
		}
		if m.dead() {
			err = errors.Join(err, m.again(ctx, b))
		}
		t.Logf("%6.1fs %-3s %-70s took %4d ms; serves after %4d ms", time.Since(m.began).Seconds(), b.kind, b.what,
			time.Since(began).Milliseconds(), m.upAfter[len(m.upAfter)-1].Milliseconds())
		if err != nil {
			t.Log(err)
			failures = errors.Join(failures, fmt.Errorf("%s: %w", b.what, err))
			if errors.Is(err, errEnded) {
				failures = fmt.Errorf("%w; it wrote last:\n%s", failures, m.said(m.logSize()-2000))
				break
			}
		}
	}
	quiet()
	dead := m.dead()
	if dead {
		m.producer.Close() // it would wait for the broker
	}
	load.Wait()
	if dead {
		return failures
	}
	m.record(state{now(), "quiet", ""})
	stuck := m.converge(ctx)
	if stuck != nil {
		m.record(state{now(), "stuck", stuck.Error()})
	} else {
		m.record(state{now(), "converged", ""})
		m.rebuild(ctx)
	}
	return errors.Join(failures, m.collect(ctx, false))
}

// again starts the program after a blow, until it is ready.
func (m *machine) again(ctx context.Context, b blow) error {
	if b.cut {
		if err := m.loseUnsynced(); err != nil {
			return err
		}
	}
	if b.full {
		m.disk.SetFree(0)
		since := m.logSize()
		if err := m.powerOn(); err != nil {
			return err
		}
		err := m.up(ctx, 10*time.Second)
		m.disk.SetFree(-1)
		if errors.Is(err, errEnded) && !namesFullDisk(m.said(since)) {
			return fmt.Errorf("%w: its log does not name the full disk", err)
		}
		if !m.dead() {
			return m.up(ctx, occasion)
		}
	}
	if err := m.powerOn(); err != nil {
		return err
	}
	return m.up(ctx, 2*time.Minute)
}

// runServe makes a run on a disk that may lie. The error says what the judge of its history cannot see.
func runServe(ctx context.Context, t *testing.T, r *rig, program built, duration time.Duration, list []blow,
	lies func(string) bool) (m *machine, failed error) {
	t.Helper()
	require.NoError(t, program.err)
	r.binary = program.path
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	r.dir, err = os.MkdirTemp("", "sipeat-faults-")
	require.NoError(t, err)
	t.Logf("SEED=%d HISTORY=%s", r.seed, r.path())
	r.file, err = os.OpenFile(r.path(), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer r.file.Close()
	r.history, r.began = &writer{to: r.file}, time.Now()
	// A message that a sink lets hang takes 3 s. With eight times the requests of other runs the notifications of one subject would
	// be more than can be sent one after the other.
	r.pause, r.subjects = 60*time.Millisecond, 8*subjects

	random := rand.New(rand.NewPCG(uint64(r.seed), 2))
	var plan []blow
	for len(plan) < max(len(list), int(duration/(1500*time.Millisecond))) {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		plan = append(plan, list...)
	}
	first := run{when: now(), Seed: r.seed, Duration: duration.String(), Mutant: r.mutant.name, Topics: topics,
		Groups: map[string]string{}, Versions: map[string]string{"go": runtime.Version()}}
	for topic, group := range consumerOf {
		first.Groups[group] = topic
	}
	for _, b := range plan {
		first.Schedule = append(first.Schedule, scheduled{"", b.kind, b.stage, b.what})
	}
	r.record(first)

	m, err = newMachine(ctx, r, lies)
	require.NoError(t, err)
	r.client, err = r.kafka()
	require.NoError(t, err)
	defer r.client.Close()
	r.producer, err = r.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_588))
	require.NoError(t, err)
	defer m.writing.Wait()
	defer r.producer.Close()
	require.NoError(t, m.powerOn())
	defer func() { m.kill(false) }()
	require.NoError(t, m.up(ctx, time.Minute))
	failed = errors.Join(m.runBlows(ctx, t, plan), m.unmount())
	h, err := readHistory(m.path())
	require.NoError(t, err)
	for _, x := range h.hits { // the embedded broker has no topic of the commits
		// It confirms commits that a full disk has refused; the answer may come a moment later.
		if x.Stage == "commit-sent" && !slices.ContainsFunc(h.faults, func(f fault) bool {
			return f.Kind == "F17" && f.T <= x.T && x.T <= f.End+int64(time.Second)
		}) {
			r.record(commit{x.when, x.position, x.Group})
		}
	}
	return m, failed
}

// print writes the totals that a history does not have.
func (m *machine) print(t *testing.T, plan int) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	slices.Sort(m.upAfter)
	at := func(percent int) time.Duration {
		return m.upAfter[(len(m.upAfter)*percent+99)/100-1].Round(time.Millisecond)
	}
	fmt.Fprintf(w, "\nkinds of end\t%d\nstarts\t%d\npower cuts\t%d\nfiles that were torn\t%d\n",
		plan, m.serve.number, m.cuts, m.torn)
	fmt.Fprintf(w, "serves after, p50\t%v\np99\t%v\n", at(50), at(99))
	for _, op := range slices.Sorted(maps.Keys(m.calls)) {
		fmt.Fprintf(w, "calls: %s\t%d\n", op, m.calls[op])
	}
	w.Flush()
	t.Log(text.String())
}

// TestServeFaults kills `sipeat serve`, cuts its power and fills its disk, under load.
func TestServeFaults(t *testing.T) {
	if os.Getenv("FAULTS_SERVE") == "" {
		t.Skip("set FAULTS_SERVE=1m to kill `sipeat serve` and cut its power, for 1 minute at least and until each kind was tried")
	}
	duration, err := time.ParseDuration(os.Getenv("FAULTS_SERVE"))
	require.NoError(t, err)
	list := blows()
	ctx := interruptible(t)
	r := &rig{seed: seedOf(t), kept: os.Getenv("HISTORY")}
	m, failed := runServe(ctx, t, r, <-build(ctx, t, mutant{}), duration, list, nil)
	v := judgeFile(t, m.path())
	m.print(t, len(list))
	require.NoError(t, failed)
	require.True(t, v.Green, "SEED=%d HISTORY=%s: %s", m.seed, m.path(), strings.Join(v.red(), ", "))
	require.NoError(t, os.RemoveAll(r.dir))
}
