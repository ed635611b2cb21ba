package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/sipeat/sipeat/shared/proof/program"
)

// The names are those that other programs rely on.
var (
	topicNames = slices.Sorted(maps.Keys(program.Groups))
	consumerOf = program.Groups
	topics     = map[string]int32{"contact-created": 6, "machine-created": 6, "request-created": 6, "notification": 6}
)

// rig is a run: the program under test, the servers that it needs, and what happened so far.
type rig struct {
	dir     string
	seed    int64
	mutant  mutant
	faults  []misfortune
	at      []time.Duration // of each fault
	left    []misfortune    // for which there is no time
	binary  string
	kept    string // where the history is to stay; "" = it is removed with the rest if the run is green
	began   time.Time
	pause   time.Duration // of a client between two requests, on average; 0 = [pause]
	history *writer
	file    *os.File

	subjects int // of notifications; 0 = [subjects]

	cluster       *cluster
	broker        string // instead of the cluster, that of `sipeat serve`
	sinks         *sinks
	apis, workers []*part

	client, producer *kgo.Client
	foreigners       atomic.Int64
	said             sync.Map // reports that were noted
}

func (r *rig) record(line any) {
	if err := r.history.write(line); err != nil {
		panic(err) // the disk is full
	}
}

func (r *rig) table() string { return filepath.Base(r.dir) }

func (r *rig) path() string { return cmp.Or(r.kept, filepath.Join(r.dir, "history.jsonl")) }

// trap is what happens to the next process that reaches a stage. It notes the fault itself.
type trap struct {
	At      string // the stage
	Process string // what its name begins with
	Does    string // "panic", "hang" or "allocate"; "" = it kills itself

	Kind, What, Stage string // of the fault
}

func (r *rig) arm(t trap) error {
	b, err := json.Marshal(t)
	return errors.Join(err, os.WriteFile(filepath.Join(r.dir, "armed"), b, 0o600))
}

// sprung waits until a process has fallen into the trap.
func (r *rig) sprung(ctx context.Context) error {
	return until(ctx, brokerTime, func(context.Context) error {
		if r.armed() {
			return errors.New("no process has reached the stage")
		}
		return nil
	})
}

func (r *rig) armed() bool {
	_, err := os.Stat(filepath.Join(r.dir, "armed"))
	return err == nil
}

func (r *rig) brokers() string {
	if r.cluster == nil {
		return r.broker
	}
	return r.cluster.addresses()
}

func (r *rig) kafka(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(r.brokers(), ",")...),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MetadataMinAge(250 * time.Millisecond)},
		options...)...)
}

// start starts everything but the servers. Whatever happens, stop is to be called.
func (r *rig) start(ctx context.Context, duration time.Duration) (err error) {
	if r.file, err = os.OpenFile(r.path(), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	r.history, r.began = &writer{to: r.file}, time.Now()
	first := run{when: now(), Seed: r.seed, Duration: duration.String(), Mutant: r.mutant.name, Topics: topics,
		Groups:   map[string]string{},
		Versions: map[string]string{"go": runtime.Version(), "kafka": "4.2.1", "dynamodb-local": "2.6.1"}}
	for topic, group := range consumerOf {
		first.Groups[group] = topic
	}
	for i, f := range r.faults {
		first.Schedule = append(first.Schedule, scheduled{r.at[i].String(), f.kind, f.stage, f.what})
	}
	for _, f := range r.left {
		first.Left = append(first.Left, f.kind+" "+f.what)
	}
	r.record(first)
	if r.sinks, err = startSinks(ctx, r.seed); err != nil {
		return err
	}
	if r.client, err = r.kafka(); err != nil {
		return err
	}
	if err := r.makeTopics(ctx); err != nil {
		return err
	}
	if r.producer, err = r.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_588)); err != nil {
		return err
	}
	for n := range 5 {
		if err := r.add(n); err != nil {
			return err
		}
	}
	return r.allReady(ctx, brokerTime)
}

// brokerTime is what servers and programs may take to start on a very busy machine.
const brokerTime = 4 * time.Minute

// brokersUp returns an error unless every broker is part of the cluster.
func (r *rig) brokersUp(ctx context.Context) error {
	brokers, err := kadm.NewClient(r.client).ListBrokers(ctx)
	if err == nil && len(brokers) != len(brokerNumbers) {
		err = fmt.Errorf("%d brokers are up", len(brokers))
	}
	return err
}

// makeTopics replaces what an earlier run left. The tables have a name of the run's own.
func (r *rig) makeTopics(ctx context.Context) error {
	admin := kadm.NewClient(r.client)
	err := until(ctx, brokerTime, func(ctx context.Context) error {
		old, err := admin.ListTopics(ctx)
		if err = errors.Join(err, r.brokersUp(ctx)); err != nil {
			return err
		}
		if old.FilterInternal(); len(old) > 0 {
			_, failed := admin.DeleteTopics(ctx, old.Names()...)
			_, err = admin.DeleteGroups(ctx, slices.Collect(maps.Values(consumerOf))...)
			return errors.Join(err, failed, errors.New("topics of an earlier run are being deleted"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return until(ctx, brokerTime, func(ctx context.Context) error {
		if out, err := r.command(ctx, "topics").CombinedOutput(); err != nil {
			return fmt.Errorf("sipeat topics: %w\n%s", err, out)
		}
		return nil
	})
}

func (r *rig) allReady(ctx context.Context, limit time.Duration) error {
	return until(ctx, limit, r.ready)
}

func (r *rig) ready(ctx context.Context) (err error) {
	for _, p := range r.parts() {
		err = errors.Join(err, p.ready(ctx))
	}
	return err
}

func (r *rig) parts() []*part { return slices.Concat(r.apis, r.workers) }

func (r *rig) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, r.binary, args...)
	c.Dir = r.dir
	c.Env = append(program.CleanEnvironment(), "KAFKA_BROKERS="+r.cluster.addresses(), "STORE=dynamodb",
		"TABLE_NAME="+r.table(), "CLAIMS_TABLE_NAME="+r.table()+"-claims",
		"DYNAMODB_ENDPOINT=http://"+r.cluster.table.Addr().String(), "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local", "KAFKA_SESSION_TIMEOUT="+sessionTimeout.String(), "LOG_FORMAT=text", "LOG_LEVEL=warn",
		"THROTTLE_RATE=off", "THROTTLE_STAFF_RATE=off", "FAULT_TRACE="+r.path(), "FAULT_ARMED="+filepath.Join(r.dir, "armed"))
	c.Env = append(c.Env, r.sinks.settings()...)
	return c
}

// add starts the nth process: two APIs and three workers.
func (r *rig) add(n int) error {
	var ports [2]string
	for i := range ports {
		var err error
		if ports[i], err = port.Free(); err != nil {
			return err
		}
	}
	p := &part{name: fmt.Sprintf("api-%d", n+1), http: ports[0], metrics: ports[1], history: r.history}
	args := []string{"api", "--http", p.http}
	if n >= 2 {
		p.name, p.http, p.health = fmt.Sprintf("worker-%d", n-1), "", ports[0]
		args = []string{"worker", "--health", p.health}
		r.workers = append(r.workers, p)
	} else {
		r.apis = append(r.apis, p)
	}
	var err error
	if p.log, err = os.Create(filepath.Join(r.dir, p.name+".log")); err != nil {
		return err
	}
	p.command = func(process string) *exec.Cmd {
		c := r.command(context.Background(), args...)
		c.Env = append(c.Env, "FAULT_PROCESS="+process, "METRICS="+p.metrics, "FAULT_CLOCK="+p.clock)
		return c
	}
	return p.start()
}

func (r *rig) stop() error {
	for _, p := range r.parts() {
		p.stop()
	}
	for _, c := range []*kgo.Client{r.client, r.producer} {
		if c != nil {
			c.Close()
		}
	}
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// runFaults is a run: load and faults, for the duration or until the last fault is over, then quiet, then the final reads.
func (r *rig) runFaults(ctx context.Context, t *testing.T, duration time.Duration) error {
	loading, quiet := context.WithCancel(ctx)
	defer quiet()
	var load sync.WaitGroup
	for n := range clients {
		load.Go(func() { r.load(loading, n) })
	}
	load.Go(func() { r.foreignProducer(loading) })
	began := time.Now()
	random := rand.New(rand.NewPCG(uint64(r.seed), 3))
	var failures error
	for i, f := range r.faults {
		wait(loading, time.Until(began.Add(r.at[i])))
		if err := until(ctx, brokerTime, r.brokersUp); err != nil {
			failures = errors.Join(failures, err)
			break
		}
		begin, done := now(), ""
		err := f.cause(scene{ctx, r, random, func(process string) {
			r.record(fault{when{begin.T, time.Now().UnixNano()}, f.kind, f.what, f.stage, process})
		}})
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", f.what, err))
			done = ": " + err.Error()
		}
		t.Logf("%6.1fs %-3s %s%s", time.Since(began).Seconds(), f.kind, f.what, done)
	}
	failures = errors.Join(failures, until(ctx, brokerTime, r.brokersUp))
	wait(loading, time.Until(began.Add(duration)))
	quiet()
	load.Wait()
	_ = os.Remove(filepath.Join(r.dir, "armed"))
	r.record(state{now(), "quiet", ""})
	began = time.Now()
	stuck := r.converge(ctx)
	if stuck != nil {
		r.record(state{now(), "stuck", stuck.Error()})
	} else {
		r.record(state{now(), "converged", ""})
	}
	converged := time.Since(began)
	failures = errors.Join(failures, r.collect(ctx, stuck == nil))
	t.Logf("quiet for %.1fs, then read for %.1fs", converged.Seconds(), (time.Since(began) - converged).Seconds())
	return failures
}

// servers starts Kafka and DynamoDB Local for a test.
func servers(ctx context.Context, t *testing.T) *cluster {
	t.Helper()
	if err := exec.Command("docker", "compose", "version").Run(); err != nil {
		t.Fatalf("this needs Docker with its compose plugin: %v", err)
	}
	if out, err := exec.Command("npm", "ls", "--prefix", kafkajs, "kafkajs").CombinedOutput(); err != nil {
		t.Fatalf("this needs Node and npm, and `npm ci` in shared/proof/program/kafkajs: %v\n%s", err, out)
	}
	c, err := startCluster(ctx, t.TempDir())
	if c != nil {
		t.Cleanup(func() { require.NoError(t, c.stop()) })
	}
	require.NoError(t, err)
	return c
}

// built is an instrumented program.
type built struct {
	path string
	err  error
}

// build builds the programs one after the other, ahead of their runs.
func build(ctx context.Context, t *testing.T, all ...mutant) <-chan built {
	t.Helper()
	dir, programs := t.TempDir(), make(chan built, len(all))
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(programs)
		for _, m := range all {
			path, err := buildInstrumented(ctx, dir, m)
			programs <- built{path, err}
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range programs { // until nothing is written to dir
		}
	})
	return programs
}

// runOn makes a run on servers and judges it.
func runOn(ctx context.Context, t *testing.T, c *cluster, r *rig, program built, duration time.Duration) verdict {
	t.Helper()
	require.NoError(t, program.err)
	began := time.Now()
	var err error
	r.cluster, r.binary = c, program.path
	r.dir, err = os.MkdirTemp("", "sipeat-faults-")
	require.NoError(t, err)
	t.Logf("SEED=%d HISTORY=%s", r.seed, r.path())
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { require.NoError(t, r.stop()) }()
	const failed = "the run itself failed, with SEED=%d and logs in %s"
	require.NoError(t, r.start(running, duration), failed, r.seed, r.dir)
	t.Logf("ready after %.1fs", time.Since(began).Seconds())
	err = r.runFaults(running, t, duration)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	v := judgeFile(t, r.path()) // also if the driver could not do all that it should
	require.NoError(t, err, failed, r.seed, r.dir)
	return v
}

// seedOf is SEED, or one of the time.
func seedOf(t *testing.T) int64 {
	t.Helper()
	text := os.Getenv("SEED")
	if text == "" {
		return time.Now().UnixNano() % 1_000_000
	}
	seed, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err, "SEED must be a whole number")
	return seed
}

func TestFaults(t *testing.T) {
	if os.Getenv("FAULTS") == "" {
		t.Skip("set FAULTS=4m to run the program under faults for 4 minutes; this needs Docker")
	}
	duration, err := time.ParseDuration(os.Getenv("FAULTS"))
	require.NoError(t, err)
	for _, kind := range slices.Sorted(maps.Keys(notDone)) {
		t.Logf("not done: %s: %s", kind, notDone[kind])
	}
	ctx := interruptible(t)
	r := &rig{seed: seedOf(t), kept: os.Getenv("HISTORY")}
	list := selected(os.Getenv("FAULT_KINDS"))
	require.NotEmpty(t, list, "FAULT_KINDS names no fault")
	list, r.left = choose(r.seed, duration, list)
	if duration >= time.Hour {
		require.Empty(t, r.left, "a long run has each fault")
	}
	r.faults, r.at = plan(r.seed, duration, list)
	program := build(ctx, t, mutant{})
	v := runOn(ctx, t, servers(ctx, t), r, <-program, duration)
	require.True(t, v.Green, "SEED=%d HISTORY=%s: %s", r.seed, r.path(), strings.Join(v.red(), ", "))
	require.NoError(t, os.RemoveAll(r.dir))
}

// TestMutants runs programs with a mistake, each for a short time, and demands that the judge notices it by the invariant that
// the mistake breaks; and one without a mistake under the same faults, in which it must find nothing. MUTANTS names them,
// separated by commas.
func TestMutants(t *testing.T) {
	if os.Getenv("MUTANTS") == "" {
		t.Skip("set MUTANTS=all, or the names of some, to run each mutant of the program under faults; this needs Docker")
	}
	ctx := interruptible(t)
	list := selectedMutants(t, os.Getenv("MUTANTS"))
	programs := build(ctx, t, list...)
	c := servers(ctx, t)
	table := fmt.Sprintf("\n%-25s %-10s %-6s %s\n", "MUTANT", "CAUGHT BY", "AFTER", "FIRST")
	defer func() { t.Log(table) }()
	for _, m := range list {
		t.Run(m.title(), func(t *testing.T) {
			r := &rig{seed: seedOf(t), mutant: m}
			var list []misfortune
			for _, what := range m.faults {
				i := slices.IndexFunc(misfortunes, func(f misfortune) bool { return f.what == what })
				require.GreaterOrEqual(t, i, 0, what)
				list = append(list, misfortunes[i])
			}
			list = append(list, list[0])
			duration := time.Duration(len(list))*(faultTime+time.Second) + margin
			r.faults, r.at = plan(r.seed, duration, list)
			v := runOn(ctx, t, c, r, <-programs, duration)
			if m.name == "" {
				require.True(t, v.Green, "SEED=%d HISTORY=%s: %s", r.seed, r.path(), strings.Join(v.red(), ", "))
				table += fmt.Sprintf("%-25s green\n", m.title())
			} else {
				caught := slices.DeleteFunc(slices.Clone(v.Invariants), func(j judged) bool {
					return j.Violated == 0 || !slices.Contains(m.caught, j.ID)
				})
				require.NotEmpty(t, caught, "no invariant of %v noticed the mutant; SEED=%d HISTORY=%s", m.caught, r.seed, r.path())
				first := caught[0].Violations[0]
				table += fmt.Sprintf("%-25s %-10s %-6v %s\n", m.title(), caught[0].ID,
					time.Duration(max(0, first.T-v.Began)).Round(time.Second), first.Text)
			}
			require.NoError(t, os.RemoveAll(r.dir))
		})
	}
}

// selectedMutants returns all mutants and the program without a mistake, or those that are named.
func selectedMutants(t *testing.T, names string) (selected []mutant) {
	t.Helper()
	control := mutant{}
	for _, m := range mutants {
		for _, what := range m.faults {
			if !slices.Contains(control.faults, what) {
				control.faults = append(control.faults, what)
			}
		}
	}
	all := append([]mutant{control}, mutants...)
	if names == "all" {
		return all
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(m mutant) bool { return m.title() == strings.TrimSpace(name) })
		require.GreaterOrEqual(t, i, 0, "no mutant has the name %q", name)
		selected = append(selected, all[i])
	}
	return selected
}
