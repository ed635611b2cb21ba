package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A misfortune is a fault that the driver causes. It returns when the fault is over, at most about [faultTime] after it began.
type misfortune struct {
	kind, stage, what string
	cause             func(scene) error
}

// scene is what causes a fault.
type scene struct {
	context.Context
	*rig
	random *rand.Rand
	note   func(process string) // the fault is over; it concerned one process, or "" = several
}

// notDone are the kinds of fault that a run does not have, and why.
var notDone = map[string]string{
	"F17": "a full disk concerns SQLite and `sipeat serve`; `make faults-serve` has it",
	"F18": "kill -9 of `sipeat serve` in fsync; `make faults-serve` has it",
}

const (
	sessionTimeout = 4 * time.Second
	faultTime      = 6 * time.Second
)

// misfortunes are those of a run.
var misfortunes = []misfortune{
	{"F1", "", "kill a worker", func(s scene) error {
		process, ended := s.anyWorker(s.random).signal(syscall.SIGKILL)
		<-ended
		s.note(process)
		return nil
	}},
	{"F4", "", "kill a broker", func(s scene) error {
		return s.withoutBroker(s, brokerNumbers[s.random.IntN(3)], s.note)
	}},
	atStage("effect-done"),
	{"F14", "", "write poison of each kind", func(s scene) error {
		for _, what := range foreignKinds {
			if what == "conflict" || what == "foreign:invalid-utf8" || len(what) > len(poisonOf) && what[:len(poisonOf)] == poisonOf {
				_ = s.produce(what, s.foreign(s.random, what))
			}
		}
		s.note("")
		return nil
	}},
	{"F2", "", "stop a worker for longer than its session", func(s scene) error {
		worker := s.anyWorker(s.random)
		s.cluster.table.set(slow) // so that it has work in progress
		wait(s, 500*time.Millisecond)
		process, _ := worker.signal(syscall.SIGSTOP)
		s.cluster.table.set(passes)
		wait(s, sessionTimeout+2*time.Second)
		worker.signal(syscall.SIGCONT)
		s.note(process)
		return nil
	}},
	network("F11", "the table is slow", slow, true),
	table("the table throttles", throttles),
	table("the table's transactions conflict, and writes are answered with an error", conflicts),
	{"F3", "", "end a worker under load", func(s scene) error {
		process, ended := s.anyWorker(s.random).signal(syscall.SIGTERM)
		<-ended
		s.note(process)
		return nil
	}},
	network("F6", "the brokers' answers are lost", loseAnswers, false),
	atStage("dead-letter-sent"),
	{"F6", "", "cut off a broker while dead letters are written, then kill all workers", func(s scene) error {
		broker := s.cluster.brokers[brokerNumbers[s.random.IntN(3)]]
		broker.set(blackHole) // it stays the leader of its partitions, so that what is meant for them waits
		var written sync.WaitGroup
		for range 3 * burst {
			what := poisonOf + "not-json"
			records := s.foreign(s.random, what)
			written.Go(func() { _ = s.produce(what, records) })
		}
		wait(s, 3*time.Second) // the other partitions are committed each second
		for _, w := range s.workers {
			w.signal(syscall.SIGKILL)
		}
		broker.cut() // what was on its way is gone
		broker.set(passes)
		written.Wait()
		s.note("")
		return nil
	}},
	{"F12", "", "the mail server and the webhook fail often", func(s scene) error {
		s.sinks.misbehave(true)
		wait(s, faultTime)
		s.sinks.misbehave(false)
		s.note("")
		return nil
	}},
	atStage("effect-begun"),
	{"F15", "", "write records twice", func(s scene) error {
		for range burst {
			for _, what := range []string{"duplicate", "foreign:same-key"} {
				_ = s.produce(what, s.foreign(s.random, what))
			}
		}
		s.note("")
		return nil
	}},
	atStage("commit-sent"),
	network("F11", "the table refuses connections", refuses, true),
	{"F19", "", "abort transactions", func(s scene) error {
		defer s.note("")
		return until(s, brokerTime, func(context.Context) error { return s.abort(s.random) })
	}},
	{"F4", "", "restart the brokers one after the other", rollingRestart},
	{"F9", "", "a topic is deleted and created again", recreate},
	{"F10", "", "records are deleted before their group has handled them", retention},
	{"F13", "", "a handler panics", panics},
	handler("a handler panics once", "panic"),
	handler(neverReturns, "hang"),
	handler("a handler allocates without end", "allocate"),
	{"F15", "", "a producer without idempotence writes again what was not answered", writeAgain},
	{"F15", "", redriveTwice, redrives},
	{"F16", "", "a worker's clock is wrong by 30 s", wrongClock},
	{"F20", "", "a member of kafkajs has the group", oldMember},
	{"F5", "", "stop a broker", func(s scene) error {
		n := brokerNumbers[s.random.IntN(3)]
		if err := s.cluster.signal(s, n, "STOP"); err != nil {
			return err
		}
		wait(s, faultTime)
		defer s.note("")
		return s.cluster.signal(s, n, "CONT")
	}},
	atStage("claimed"),
	{"F7", "", "kill the coordinator of a group", func(s scene) error {
		group := consumerOf[topicNames[s.random.IntN(len(topicNames))]]
		var at kadm.FindCoordinatorResponse
		err := until(s, brokerTime, func(ctx context.Context) error { // it may be moving since an earlier fault
			at = kadm.NewClient(s.client).FindGroupCoordinators(ctx, group)[group]
			return at.Err
		})
		if err != nil {
			return err
		}
		return s.withoutBroker(s, int(at.NodeID), s.note)
	}},
	network("F6", "the brokers refuse connections", refuses, false),
	atStage("decoded"),
	network("F11", "the table does not answer", blackHole, true),
	atStage("completed"),
	{"F8", "", "add a partition", func(s scene) error {
		defer s.note("")
		admin := kadm.NewClient(s.client)
		want := 0
		err := until(s, brokerTime, func(ctx context.Context) error {
			all, err := admin.ListTopics(ctx, topicNames[0])
			there := len(all[topicNames[0]].Partitions)
			switch {
			case err != nil || there == 0:
				return errors.Join(err, all.Error(), errors.New("the topic is not listed"))
			case want == 0:
				want = there + 1
			case there >= want:
				return nil
			}
			answers, err := admin.UpdatePartitions(ctx, want, topicNames[0])
			return errors.Join(err, answers.Error(), errors.New("the partition is not there yet"))
		})
		if err == nil {
			_, err = s.statements(s, topicNames[0], int32(want-1), 1) // the judge must see it consumed
		}
		return err
	}},
	atStage("ended"),
	network("F6", "the brokers answer slowly", slow, false),
	network("F6", "the brokers do not answer", blackHole, false),
	{"F4", "", "kill all brokers", func(s scene) error {
		defer s.note("")
		var all error
		for _, command := range []func(int) error{
			func(n int) error { return s.cluster.signal(s, n, "KILL") }, func(n int) error { return s.cluster.start(s, n) }} {
			for _, n := range brokerNumbers {
				all = errors.Join(all, command(n))
			}
		}
		return all
	}},
	{"F3", "", "end an API under load", func(s scene) error {
		process, ended := s.apis[s.random.IntN(len(s.apis))].signal(syscall.SIGTERM)
		<-ended
		s.note(process)
		return nil
	}},
}

// atStage kills the worker that reaches a failpoint next. The worker notes the fault.
func atStage(stage string) misfortune {
	what := "kill a worker at " + stage
	return misfortune{"F1", stage, what, func(s scene) error {
		if err := s.arm(trap{At: stage, Kind: "F1", What: what, Stage: stage}); err != nil {
			return err
		}
		if stage == "dead-letter-sent" {
			what := poisonOf + "not-json"
			_ = s.produce(what, s.foreign(s.random, what))
		}
		return s.sprung(s)
	}}
}

// network changes the way to the table, or to all brokers.
func network(kind, what, mode string, table bool) misfortune {
	return misfortune{kind, "", what, func(s scene) error {
		proxies := []*proxy{s.cluster.table}
		if !table {
			proxies = nil
			for _, p := range s.cluster.brokers {
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
		wait(s, took)
		for _, p := range proxies {
			p.set(passes)
			if mode == loseAnswers {
				p.cut()
			}
		}
		s.note("")
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
