package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The faults here remove records that no consumer has handled. The driver notes what is gone and what the program reports,
// and then does what `sipeat doctor` advises.

// program runs a command of the program and returns what it prints, also if it fails.
func (r *rig) program(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), brokerTime)
	defer cancel()
	out, err := r.command(ctx, args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("sipeat %s: %w: %s", args[0], err, failed.Stderr)
	}
	return out, err
}

// hold ends all workers. They start again when release is called.
func (r *rig) hold() (release func()) {
	for _, w := range r.workers {
		w.down.Lock()
	}
	for _, w := range r.workers {
		_, ended := w.signal(syscall.SIGTERM)
		<-ended
	}
	return func() {
		for _, w := range r.workers {
			w.down.Unlock()
		}
	}
}

// statements writes events into one partition, others again if not all are confirmed.
func (r *rig) statements(ctx context.Context, topic string, n int32, count int) (all []*kgo.Record, err error) {
	return all, until(ctx, brokerTime, func(context.Context) error {
		all = nil
		for range count {
			id := fmt.Sprintf("foreign-%d-%d", r.seed, r.foreigners.Add(1))
			all = append(all, &kgo.Record{Topic: topic, Partition: n, Key: []byte(id),
				Value: statement(topic, id, "statement of "+id, "another-app")})
		}
		r.producer.ForceMetadataRefresh() // the partition may be new
		return r.produce("foreign:statement", all)
	})
}

// committedOf are the committed offsets of a topic's group.
func (r *rig) committedOf(ctx context.Context, topic string) (map[int32]int64, error) {
	at := map[int32]int64{} // 0 where nothing is committed
	return at, until(ctx, brokerTime, func(ctx context.Context) error {
		all, err := kadm.NewClient(r.client).FetchOffsets(ctx, consumerOf[topic])
		for n, o := range all[topic] {
			at[n] = max(o.At, 0)
		}
		return err
	})
}

// archive reads a topic, up to the given offsets or its ends, into the history and into what it returns.
func (r *rig) archive(ctx context.Context, topic string, ends map[int32]int64) (kept []*kgo.Record, err error) {
	err = r.readAll(ctx, func(k *kgo.Record) {
		if end, ok := ends[k.Partition]; ends == nil || ok && k.Offset < end {
			kept = append(kept, k)
			r.recordOf(k)
		}
	}, topic)
	return kept, err
}

// restore writes records again from an offset of each partition on, to where they were.
func (r *rig) restore(kept []*kgo.Record, from map[int32]int64) error {
	var all []*kgo.Record
	for _, k := range kept {
		if k.Offset >= from[k.Partition] && len(k.Value) <= 1<<20 {
			all = append(all, &kgo.Record{Topic: k.Topic, Partition: k.Partition, Key: k.Key, Value: k.Value})
		}
	}
	return r.produce("restored", all)
}

// unhealthy is what /readyz says about the consumers.
type unhealthy struct {
	Facts struct {
		Consumers []struct {
			Topic      string
			Unreadable []struct {
				Partition int32
				Reason    string
			}
			Lost []struct {
				Partition int32
				From, To  int64
				Reason    string
			}
		}
	}
}

// losses notes what a worker's /readyz reports about a topic, and returns how many losses that are.
func (r *rig) losses(ctx context.Context, w *part, topic string) (lost, unreadable int, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.health+"/readyz", nil)
	if err != nil {
		return 0, 0, err
	}
	a, err := browser.Do(q)
	if err != nil {
		return 0, 0, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	var said unhealthy
	err = errors.Join(err, json.Unmarshal(b, &said, json.MatchCaseInsensitiveNames(true)))
	if err != nil || a.StatusCode == http.StatusOK {
		return 0, 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range said.Facts.Consumers {
		if c.Topic != topic {
			continue
		}
		say := func(n int32, from, to int64, what string) {
			l := report{when{}, "/readyz", w.title(), topic, n, from, to, what}
			if _, said := r.said.LoadOrStore(l, true); !said { // it is said again until a restart
				l.when = now()
				r.record(l)
			}
		}
		for _, l := range c.Lost {
			say(l.Partition, l.From, l.To, l.Reason)
		}
		for _, u := range c.Unreadable {
			say(u.Partition, 0, 0, u.Reason)
		}
		lost, unreadable = lost+len(c.Lost), unreadable+len(c.Unreadable)
	}
	return lost, unreadable, nil
}

// acknowledge restarts the workers that report losses until all programs are ready: a partition that moves before its loss is
// committed is reported by its next worker, too.
func (s scene) acknowledge(topic string) error {
	return until(s, brokerTime, func(ctx context.Context) error {
		for _, w := range s.workers {
			if lost, _, err := s.losses(ctx, w, topic); err == nil && lost > 0 {
				_, ended := w.signal(syscall.SIGTERM)
				<-ended
			}
		}
		return s.ready(ctx)
	})
}

var lostRange = regexp.MustCompile(`^offsets (\d+) to (\d+) of (\S+)/(\d+) are not in the log any more`)

// consult runs `sipeat doctor` and notes what it says about a topic.
func (r *rig) consult(topic string) error {
	out, _ := r.program("doctor", "--json") // it fails, because something is wrong
	var said struct {
		Findings []struct{ Part, Subject, Status, Says, Remedy string }
	}
	if err := json.Unmarshal(out, &said, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("doctor: %w: %.300s", err, out)
	}
	for _, f := range said.Findings {
		l := report{when: now(), By: "doctor", Topic: topic, Partition: -1, What: f.Says}
		at := lostRange.FindStringSubmatch(f.Says)
		switch {
		case f.Status != "wrong" || f.Remedy == "":
			continue
		case at != nil && at[3] == topic:
			l.From, _ = strconv.ParseInt(at[1], 10, 64)
			l.To, _ = strconv.ParseInt(at[2], 10, 64)
			n, _ := strconv.ParseInt(at[4], 10, 32)
			l.To, l.Partition = l.To+1, int32(n)
		case f.Part != "topics" || f.Subject != topic || f.Says != "missing":
			continue
		}
		r.record(l)
	}
	return nil
}

var lossLine = regexp.MustCompile(
	`time=(\S+) .*msg="offsets were lost: .* topic=(\S+) .*partition=(\d+) from=(\d+) to=(\d+) reason=(.*)`)

// collectReports reads the losses in the workers' logs.
func (r *rig) collectReports() error {
	var all error
	for _, w := range r.workers {
		b, err := os.ReadFile(filepath.Join(r.dir, w.name+".log"))
		all = errors.Join(all, err)
		for line := range strings.Lines(string(b)) {
			m := lossLine.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			at, err := time.Parse(time.RFC3339, m[1])
			l := report{when: when{T: at.UnixNano()}, By: "log", Process: w.name, Topic: m[2], What: m[6]}
			n, bad := strconv.ParseInt(m[3], 10, 32)
			l.Partition = int32(n)
			all = errors.Join(all, err, bad)
			l.From, _ = strconv.ParseInt(m[4], 10, 64)
			l.To, _ = strconv.ParseInt(m[5], 10, 64)
			r.record(l)
		}
	}
	return all
}

// retention deletes records before a group whose workers do not run has handled them.
func retention(s scene) error {
	topic := []string{"contact-created", "machine-created"}[s.random.IntN(2)] // no others count their events
	n := int32(s.random.IntN(int(topics[topic])))
	_, err := s.statements(s, topic, n, 1)
	if err = errors.Join(err, until(s, brokerTime, func(ctx context.Context) error {
		at, err := s.committedOf(ctx, topic)
		if err == nil && at[n] == 0 {
			err = fmt.Errorf("nothing of %s/%d is committed", topic, n)
		}
		return err
	})); err != nil {
		return err
	}
	release := s.hold()
	err = s.loseRecords(topic, n, release)
	s.note("")
	return err
}

func (s scene) loseRecords(topic string, n int32, release func()) error {
	written, err := s.statements(s, topic, n, 6)
	if err != nil {
		release()
		return err
	}
	end := written[3].Offset
	kept, failed := s.archive(s, topic, map[int32]int64{n: end})
	committed, err := s.committedOf(s, topic)
	begin := now()
	if err = errors.Join(failed, err); err == nil {
		upTo := kadm.Offsets{}
		upTo.AddOffset(topic, n, end, -1)
		err = until(s, brokerTime, func(ctx context.Context) error {
			answer, err := kadm.NewClient(s.client).DeleteRecords(ctx, upTo)
			return errors.Join(err, answer.Error())
		})
	}
	s.record(gone{when{begin.T, time.Now().UnixNano()}, topic, n, 0, end, ""})
	err = errors.Join(err, s.consult(topic))
	release()
	return errors.Join(err, s.recover(topic, kept, committed))
}

// recover waits until a worker reports a loss, writes what is lost again, and restarts the workers that report it.
func (s scene) recover(topic string, kept []*kgo.Record, from map[int32]int64) error {
	err := until(s, brokerTime, func(ctx context.Context) error {
		total := 0
		for _, w := range s.workers {
			lost, _, err := s.losses(ctx, w, topic)
			if err != nil {
				return err
			}
			total += lost
		}
		if total == 0 {
			return errors.New("no worker reports the loss at /readyz")
		}
		return nil
	})
	err = errors.Join(err, s.restore(kept, from))
	return errors.Join(err, s.acknowledge(topic))
}

// shared returns an error unless all workers are the members of a topic's group, and share all its partitions.
func (r *rig) shared(topic string) func(context.Context) error {
	return func(ctx context.Context) error {
		group := consumerOf[topic]
		groups, err := kadm.NewClient(r.client).DescribeGroups(ctx, group)
		g := groups[group]
		owned := len(g.AssignedPartitions()[topic])
		if err == nil && (g.State != "Stable" || len(g.Members) != len(r.workers) || owned != int(topics[topic])) {
			err = fmt.Errorf("%s is %s with %d members and %d partitions", group, g.State, len(g.Members), owned)
		}
		return err
	}
}

// recreate deletes a topic with records that are not handled yet, and creates it again when the workers say that it is missing.
func recreate(s scene) error {
	const topic = "machine-created" // others get more partitions
	admin := kadm.NewClient(s.client)
	// A worker that starts later cannot know what is lost.
	if err := errors.Join(s.allReady(s, brokerTime), until(s, brokerTime, s.shared(topic))); err != nil {
		return err
	}
	s.cluster.table.set(blackHole) // nothing is handled
	defer s.cluster.table.set(passes)
	for n := range topics[topic] {
		if _, err := s.statements(s, topic, n, 2); err != nil {
			return err
		}
	}
	// No more records, so that all there ever were are known.
	one := "1"
	if err := until(s, brokerTime, func(ctx context.Context) error {
		answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &one}}, topic)
		if err == nil {
			err = answers[0].Err
		}
		return err
	}); err != nil {
		return err
	}
	for n := range topics[topic] {
		if err := until(s, brokerTime, func(ctx context.Context) error {
			begin, r := now(), &kgo.Record{Topic: topic, Partition: n, Value: []byte("is it full?")}
			err := s.producer.ProduceSync(ctx, r).FirstErr()
			s.noteProduced(begin, poisonOf+"not-json", r, err)
			if errors.Is(err, kerr.MessageTooLarge) {
				return nil
			}
			return fmt.Errorf("%s/%d takes records: %w", topic, n, err)
		}); err != nil {
			return err
		}
	}
	kept, err := s.archive(s, topic, nil)
	if err = errors.Join(err, until(s, brokerTime, s.shared(topic))); err != nil {
		return err
	}
	wait(s, 2*time.Second) // in which the workers fetch what they have not, to know what is lost
	committed, err := s.committedOf(s, topic)
	var ends kadm.ListedOffsets
	err = errors.Join(err, until(s, brokerTime, func(ctx context.Context) error {
		ends, err = admin.ListEndOffsets(ctx, topic)
		return errors.Join(err, ends.Error())
	}))
	begin := now()
	if err == nil {
		err = until(s, brokerTime, func(ctx context.Context) error {
			_, err := admin.DeleteTopic(ctx, topic)
			if errors.Is(err, kerr.UnknownTopicOrPartition) { // an answer was late
				return nil
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	missing := until(s, brokerTime, func(ctx context.Context) error {
		for _, w := range s.workers {
			if _, unreadable, err := s.losses(ctx, w, topic); err != nil || unreadable == 0 {
				return fmt.Errorf("%s does not report the missing topic at /readyz: %w", w.name, err)
			}
		}
		return nil
	})
	s.cluster.table.set(passes) // only now, so that nothing of the old topic is handled
	missing = errors.Join(missing, s.consult(topic))
	for n := range topics[topic] {
		s.record(gone{when{begin.T, time.Now().UnixNano()}, topic, n, 0, ends[topic][n].Offset, recreated})
	}
	if err := until(s, brokerTime, func(context.Context) error {
		_, err := s.program("topics")
		return err
	}); err != nil {
		return err
	}
	s.producer.PurgeTopicsFromProducing(topic) // it would refuse the new one
	err = errors.Join(missing, s.recover(topic, kept, committed))
	s.note("")
	return err
}
