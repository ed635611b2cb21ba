package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A misfortune is a fault that the driver causes. It returns when the fault is over, at most about [faultTime] after it began.
type misfortune struct {
	kind, stage, what string
	cause             func(ctx context.Context, r *rig, random *rand.Rand, note func(process string)) error
}

// notDone are the kinds of fault that a run does not have, and why.
var notDone = map[string]string{
	"F9":  "a recreated topic loses what was accepted; the suites of shared/bus/kafka have it",
	"F10": "retention loses what was accepted; the suites of shared/bus/kafka have it",
	"F13": "a handler that panics or never returns needs a handler of its own; the suites of shared/bus have it",
	"F16": "containers share the machine's clock; the suites of shared/store have clocks of their own",
	"F17": "a full disk concerns SQLite and `sipeat serve`; shared/proof/program has it",
	"F18": "kill -9 of `sipeat serve` in fsync; shared/proof/program and shared/local have it",
	"F20": "a member of kafkajs needs Node; shared/proof/program has it",
}

const (
	sessionTimeout = 4 * time.Second
	faultTime      = 6 * time.Second
)

// misfortunes are in the order of their weight: a short run has the first ones.
var misfortunes = []misfortune{
	{"F1", "", "kill a worker", func(_ context.Context, r *rig, random *rand.Rand, note func(string)) error {
		process, ended := r.anyWorker(random).signal(syscall.SIGKILL)
		<-ended
		note(process)
		return nil
	}},
	{"F4", "", "kill a broker", func(ctx context.Context, r *rig, random *rand.Rand, note func(string)) error {
		return r.withoutBroker(ctx, brokerNumbers[random.IntN(3)], note)
	}},
	atStage("effect-done"),
	{"F14", "", "write poison of each kind", func(_ context.Context, r *rig, random *rand.Rand, note func(string)) error {
		for _, what := range foreignKinds {
			if what == "conflict" || len(what) > len(poisonOf) && what[:len(poisonOf)] == poisonOf {
				r.produce(what, r.foreign(random, what))
			}
		}
		note("")
		return nil
	}},
	{"F2", "", "stop a worker for longer than its session", func(ctx context.Context, r *rig, random *rand.Rand, note func(string)) error {
		worker := r.anyWorker(random)
		r.cluster.table.set(slow) // so that it has work in progress
		wait(ctx, 500*time.Millisecond)
		process, _ := worker.signal(syscall.SIGSTOP)
		r.cluster.table.set(passes)
		wait(ctx, sessionTimeout+2*time.Second)
		worker.signal(syscall.SIGCONT)
		note(process)
		return nil
	}},
	network("F11", "the table is slow", slow, true),
	{"F3", "", "end a worker under load", func(_ context.Context, r *rig, random *rand.Rand, note func(string)) error {
		process, ended := r.anyWorker(random).signal(syscall.SIGTERM)
		<-ended
		note(process)
		return nil
	}},
	network("F6", "the brokers' answers are lost", loseAnswers, false),
	atStage("dead-letter-sent"),
	{"F4", "", "kill a broker while dead letters are written, then all workers", func(ctx context.Context, r *rig, random *rand.Rand,
		note func(string)) error {
		n := brokerNumbers[random.IntN(3)]
		if err := r.cluster.signal(ctx, n, "KILL"); err != nil {
			return err
		}
		for range burst {
			what := poisonOf + "not-json"
			go r.produce(what, r.foreign(random, what))
		}
		wait(ctx, 1500*time.Millisecond) // as long as a commit takes, shorter than a failover
		for _, w := range r.workers {
			w.signal(syscall.SIGKILL)
		}
		err := r.cluster.start(ctx, n)
		note("")
		return err
	}},
	{"F12", "", "the mail server and the webhook fail often", func(ctx context.Context, r *rig, _ *rand.Rand, note func(string)) error {
		r.sinks.misbehave(true)
		wait(ctx, faultTime)
		r.sinks.misbehave(false)
		note("")
		return nil
	}},
	atStage("effect-begun"),
	{"F15", "", "write records twice", func(_ context.Context, r *rig, random *rand.Rand, note func(string)) error {
		for range burst {
			for _, what := range []string{"duplicate", "foreign:same-key"} {
				r.produce(what, r.foreign(random, what))
			}
		}
		note("")
		return nil
	}},
	atStage("commit-sent"),
	network("F11", "the table refuses connections", refuses, true),
	{"F19", "", "abort transactions", func(_ context.Context, r *rig, random *rand.Rand, note func(string)) error {
		defer note("")
		return r.abort(random)
	}},
	{"F5", "", "stop a broker", func(ctx context.Context, r *rig, random *rand.Rand, note func(string)) error {
		n := brokerNumbers[random.IntN(3)]
		if err := r.cluster.signal(ctx, n, "STOP"); err != nil {
			return err
		}
		wait(ctx, faultTime)
		defer note("")
		return r.cluster.signal(ctx, n, "CONT")
	}},
	atStage("claimed"),
	{"F7", "", "kill the coordinator of a group", func(ctx context.Context, r *rig, random *rand.Rand, note func(string)) error {
		group := consumerOf[topicNames[random.IntN(len(topicNames))]]
		found := kadm.NewClient(r.client).FindGroupCoordinators(ctx, group)
		at := found[group]
		if at.Err != nil {
			return at.Err
		}
		return r.withoutBroker(ctx, int(at.NodeID), note)
	}},
	network("F6", "the brokers refuse connections", refuses, false),
	atStage("decoded"),
	network("F11", "the table does not answer", blackHole, true),
	atStage("completed"),
	{"F8", "", "add a partition", func(ctx context.Context, r *rig, _ *rand.Rand, note func(string)) error {
		defer note("")
		answers, err := kadm.NewClient(r.client).CreatePartitions(ctx, 1, topicNames[0])
		return errors.Join(err, answers.Error())
	}},
	atStage("ended"),
	network("F6", "the brokers answer slowly", slow, false),
	network("F6", "the brokers do not answer", blackHole, false),
	{"F4", "", "kill all brokers", func(ctx context.Context, r *rig, _ *rand.Rand, note func(string)) error {
		defer note("")
		var all error
		for _, command := range []func(int) error{
			func(n int) error { return r.cluster.signal(ctx, n, "KILL") }, func(n int) error { return r.cluster.start(ctx, n) }} {
			for _, n := range brokerNumbers {
				all = errors.Join(all, command(n))
			}
		}
		return all
	}},
	{"F3", "", "end an API under load", func(_ context.Context, r *rig, random *rand.Rand, note func(string)) error {
		process, ended := r.apis[random.IntN(len(r.apis))].signal(syscall.SIGTERM)
		<-ended
		note(process)
		return nil
	}},
}

// atStage kills the worker that reaches a failpoint next. The worker notes the fault.
func atStage(stage string) misfortune {
	return misfortune{"F1", stage, "kill a worker at " + stage, func(ctx context.Context, r *rig, random *rand.Rand, _ func(string)) error {
		if err := r.arm(stage); err != nil {
			return err
		}
		if stage == "dead-letter-sent" {
			what := poisonOf + "not-json"
			r.produce(what, r.foreign(random, what))
		}
		return until(ctx, 4*faultTime, func(context.Context) error {
			if r.armed() {
				return fmt.Errorf("no worker has reached %s", stage)
			}
			return nil
		})
	}}
}

// network changes the way to the table, or to all brokers.
func network(kind, what, mode string, table bool) misfortune {
	return misfortune{kind, "", what, func(ctx context.Context, r *rig, _ *rand.Rand, note func(string)) error {
		proxies := []*proxy{r.cluster.table}
		if !table {
			proxies = nil
			for _, p := range r.cluster.brokers {
				proxies = append(proxies, p)
			}
		}
		for _, p := range proxies {
			p.set(mode)
		}
		took := faultTime
		if mode == loseAnswers {
			took = time.Second
		}
		wait(ctx, took)
		for _, p := range proxies {
			p.set(passes)
			if mode == loseAnswers {
				p.cut()
			}
		}
		note("")
		return nil
	}}
}

func (r *rig) anyWorker(random *rand.Rand) *part { return r.workers[random.IntN(len(r.workers))] }

// withoutBroker kills a broker and starts it again.
func (r *rig) withoutBroker(ctx context.Context, n int, note func(string)) error {
	if err := r.cluster.signal(ctx, n, "KILL"); err != nil {
		return err
	}
	wait(ctx, faultTime)
	defer note("")
	return r.cluster.start(ctx, n)
}

// margin is the time of load before the first fault and after the last.
const margin = 10 * time.Second

// plan is a run's schedule: as many faults of the list as there is time for, in the order that the seed says.
func plan(seed int64, duration time.Duration, list []misfortune) (all []misfortune, at []time.Duration) {
	n := max(1, int((duration-margin)/(faultTime+time.Second)))
	for i := range n {
		all = append(all, list[i%len(list)])
	}
	random := rand.New(rand.NewPCG(uint64(seed), 2))
	random.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range all {
		at = append(at, margin/2+time.Duration(i)*(duration-margin)/time.Duration(n))
	}
	return all, at
}
