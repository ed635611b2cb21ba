package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// longer are the faults that take longer than others.
var longer = map[string]time.Duration{
	"restart the brokers one after the other":                 45 * time.Second,
	"a worker's clock is wrong by 30 s":                       15 * time.Second,
	"a member of kafkajs has the group":                       15 * time.Second,
	redriveTwice:                                              12 * time.Second,
	"records are deleted before their group has handled them": 20 * time.Second,
	"a topic is deleted and created again":                    30 * time.Second,
}

// rollingRestart ends each broker properly, and starts it again when the others are in sync.
func rollingRestart(s scene) error {
	for _, n := range brokerNumbers {
		if err := s.cluster.docker(s, "restart", "--timeout", "30", s.cluster.container(n)); err != nil {
			return err
		}
		if err := until(s, brokerTime, s.inSync); err != nil {
			return err
		}
	}
	s.note("")
	return nil
}

// inSync returns an error unless all replicas are in sync.
func (r *rig) inSync(ctx context.Context) error {
	all, err := kadm.NewClient(r.client).ListTopics(ctx)
	if err = errors.Join(err, r.brokersUp(ctx)); err != nil {
		return err
	}
	all.EachPartition(func(p kadm.PartitionDetail) {
		if len(p.ISR) < len(p.Replicas) {
			err = fmt.Errorf("%s/%d is in sync on %v of %v", p.Topic, p.Partition, p.ISR, p.Replicas)
		}
	})
	return err
}

// neverReturns is the first fault of a run: its process ends itself when the handler's deadline and grace are over, 34 s later,
// while other faults go on.
const neverReturns = "a handler never returns"

// handler is a fault inside the handler of some event, at the begin of its effect.
func handler(what, does string) misfortune {
	return misfortune{"F13", "", what, func(s scene) error {
		if err := s.arm(trap{At: "effect-begun", Does: does, Kind: "F13", What: what}); err != nil {
			return err
		}
		return s.sprung(s)
	}}
}

// panics writes events whose handler panics each time.
func panics(s scene) error {
	defer s.note("")
	return until(s, brokerTime, func(context.Context) error {
		return s.produce(failsOf+"panic", s.foreign(s.random, failsOf+"panic"))
	})
}

// redrives redrives a dead letter whose cause is gone, by two commands at once and by a third.
func redrives(s scene) error {
	var records []*kgo.Record
	var e struct{ EventID string }
	if err := until(s, brokerTime, func(context.Context) error {
		records = s.foreign(s.random, failsOf+"panic")
		return s.produce(failsOf+"panic", records)
	}); err != nil {
		return err
	}
	if err := json.Unmarshal(records[0].Value, &e, json.MatchCaseInsensitiveNames(true)); err != nil {
		return err
	}
	if err := until(s, brokerTime, func(context.Context) error {
		out, err := s.program("dead-letters", "list", "--id", e.EventID, "--json")
		if err == nil && len(out) == 0 {
			err = fmt.Errorf("%s is no dead letter", e.EventID)
		}
		return err
	}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "cured-"+e.EventID), nil, 0o600); err != nil {
		return err
	}
	begin := now()
	out, err := s.program("dead-letters", "preview", "--id", e.EventID, "--json")
	var preview struct {
		Token    string
		Eligible int
	}
	err = errors.Join(err, json.Unmarshal(out, &preview, json.MatchCaseInsensitiveNames(true)))
	if err != nil || preview.Eligible != 1 {
		return fmt.Errorf("the preview has %d to redrive: %w %s", preview.Eligible, err, out)
	}
	redrive := func() error {
		out, err := s.program("dead-letters", "redrive", preview.Token, "--json")
		if err != nil {
			err = fmt.Errorf("redrive: %w: %s", err, out)
		}
		return err
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { _ = redrive() }) // one may end the transactions of the other
	}
	both.Wait()
	err = redrive()
	s.record(fault{when{begin.T, time.Now().UnixNano()}, "F15", redriveTwice, "", ""})
	return err
}

// writeAgain writes records by a producer that is not idempotent, while the brokers' answers are lost: it cannot know what it
// has written already.
func writeAgain(s scene) error {
	client, err := s.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(),
		kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second), kgo.RetryBackoffFn(func(int) time.Duration {
			return 100 * time.Millisecond
		}))
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	if err := until(s, brokerTime, client.Ping); err != nil {
		return err
	}
	var all []*kgo.Record
	for range burst {
		all = append(all, s.foreign(s.random, "foreign:same-key")...)
	}
	begin := now()
	for _, record := range all {
		s.noteProduced(begin, "duplicate", record, errors.New("also where nobody knows"))
	}
	set := func(mode string) {
		for _, p := range s.cluster.brokers {
			p.set(mode)
		}
	}
	ctx, cancel := context.WithTimeout(s, 2*faultTime)
	defer cancel()
	var written kgo.ProduceResults
	var writing sync.WaitGroup
	set(loseAnswers)
	writing.Go(func() { written = client.ProduceSync(ctx, all...) })
	wait(s, 3*time.Second)
	set(passes)
	for _, p := range s.cluster.brokers {
		p.cut()
	}
	writing.Wait()
	for _, result := range written {
		s.noteProduced(begin, "duplicate", result.Record, result.Err)
	}
	s.note("")
	return nil
}

// wrongClock gives a worker a clock that is ahead or behind, while messages fail and another worker is killed at its effect: the
// leases of one are the other's to wait for.
func wrongClock(s scene) error {
	i := s.random.IntN(len(s.workers))
	worker, other := s.workers[i], s.workers[(i+1)%len(s.workers)]
	worker.clock = []string{"30s", "-30s"}[s.random.IntN(2)]
	_, ended := worker.signal(syscall.SIGTERM)
	<-ended
	s.sinks.misbehave(true)
	defer s.sinks.misbehave(false)
	err := until(s, brokerTime, worker.ready)
	err = errors.Join(err, s.arm(trap{At: "effect-begun", Process: other.name, Kind: "F1", What: "kill a worker at effect-begun",
		Stage: "effect-begun"}), s.sprung(s))
	wait(s, faultTime)
	worker.clock = ""
	process, ended := worker.signal(syscall.SIGTERM)
	<-ended
	s.note(process)
	return err
}

// oldMember lets a member of the TypeScript app's client join a group that has no other member, and leave it some time after the
// workers are back.
func oldMember(s scene) error {
	topic := topicNames[s.random.IntN(len(topicNames))]
	release := sync.OnceFunc(s.hold())
	defer release()
	group := func(state string, members int) func(context.Context) error {
		return func(ctx context.Context) error {
			groups, err := kadm.NewClient(s.client).DescribeGroups(ctx, consumerOf[topic])
			if g := groups[consumerOf[topic]]; err == nil && (g.State != state || len(g.Members) != members) {
				err = fmt.Errorf("%s is %s with %d members", g.Group, g.State, len(g.Members))
			}
			return err
		}
	}
	if err := until(s, brokerTime, group("Empty", 0)); err != nil { // a killed member stays until its session is over
		return err
	}
	var stderr bytes.Buffer
	node := exec.Command("node", "consume.js", s.cluster.addresses(), consumerOf[topic], topic, "0")
	node.Dir, node.Stderr, node.Env = kafkajs, &stderr, append(os.Environ(), "KAFKAJS_NO_PARTITIONER_WARNING=1")
	node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := node.Start(); err != nil {
		return err
	}
	joined := until(s, brokerTime, group("Stable", 1))
	before, began := s.logged(othersGroup), time.Now()
	release()
	joined = errors.Join(joined, until(s, brokerTime, func(context.Context) error {
		if s.logged(othersGroup) == before {
			return errors.New("no worker said that the group is another program's")
		}
		return nil
	}))
	wait(s, faultTime) // they go on trying
	lines := s.logged(othersGroup) - before
	_ = node.Process.Signal(syscall.SIGTERM)
	ended := node.Wait()
	s.note("")
	if joined != nil || ended != nil {
		return fmt.Errorf("kafkajs: %w %s", errors.Join(joined, ended), stderr.String())
	}
	// Each says it once a minute, or after a restart.
	if most := (3 + int(time.Since(began).Minutes())) * len(s.workers); lines > most {
		return fmt.Errorf("the workers said %d times that the group is another program's; expected at most %d times", lines, most)
	}
	return nil
}

const (
	kafkajs     = "../program/kafkajs"
	othersGroup = "the group has members of another program"
)

// logged counts lines of the workers' logs.
func (r *rig) logged(text string) (n int) {
	for _, w := range r.workers {
		b, _ := os.ReadFile(filepath.Join(r.dir, w.name+".log"))
		n += bytes.Count(b, []byte(text))
	}
	return n
}
