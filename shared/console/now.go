package console

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

const (
	sampleEvery   = 2 * time.Second  // at most
	sampleTimeout = 5 * time.Second  // of the brokers
	freshWithin   = time.Second      // how long a viewer waits for a sample under way, before the last one is shown
	samplesKept   = 150              // 5 minutes, while a page is open
	diagnoseEvery = 30 * time.Second // at most
	stalledAfter  = 30 * time.Second // without progress
)

// now is the view of what happens now. It takes samples in the background while it is looked at, so that no viewer waits for slow
// brokers: the last known state is shown, with its age.
type now struct {
	Options
	rejections *rejections

	running              singleflight.Group
	sampling, diagnosing rate.Sometimes

	mu        sync.Mutex
	samples   []sample
	rejected  []*deadletters.Rejection // as of the last sample
	err       error                    // of the latest try to take one
	diagnosis diagnosis
}

type sample struct {
	at     time.Time
	groups []kafka.GroupState
}

type diagnosis struct {
	At       time.Time `json:"at,omitzero"` // zero = the first one is under way
	Checks   int       `json:"checks"`
	Findings []Finding `json:"findings"` // that are not ok, wrong ones first
}

type nowQuery struct {
	Seen time.Time `query:"seen" doc:"Dead letters after this time are new."`
}

type nowView struct {
	At        time.Time   `json:"at,omitzero"`       // of the topics; zero = the first sample is under way
	Problem   string      `json:"problem,omitempty"` // why the topics are those of an earlier time
	Diagnosis diagnosis   `json:"diagnosis"`
	Topics    []topicView `json:"topics"`
}

type topicView struct {
	kafka.GroupState
	Stalled     []string   `json:"stalled"`
	DeadLetters int        `json:"deadLetters"`
	New         int        `json:"newDeadLetters"`
	History     []progress `json:"history"` // of the last 5 minutes, while a page was open
}

// progress is how many offsets all partitions of a topic had at a time.
type progress struct {
	At      time.Time `json:"at"`
	Written int64     `json:"written"`
	Handled int64     `json:"handled"` // committed by its group
}

func (n *now) get(ctx context.Context, q nowQuery) (nowView, error) {
	n.start("diagnosis", &n.diagnosing, n.diagnose)
	last, problem := n.last(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	v := nowView{At: last.at, Problem: problem, Diagnosis: n.diagnosis, Topics: []topicView{}}
	for i := range last.groups {
		v.Topics = append(v.Topics, n.topic(i, q.Seen))
	}
	return v, nil
}

// last is the latest sample, and why it is not one of now. It waits a little for the sample that is being taken.
func (n *now) last(ctx context.Context) (last sample, problem string) {
	ctx, cancel := context.WithTimeout(ctx, freshWithin)
	defer cancel()
	select {
	case <-n.start("sample", &n.sampling, n.sample):
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		problem = events.LogText(n.err.Error())
	}
	if len(n.samples) > 0 {
		last = n.samples[len(n.samples)-1]
	}
	return last, problem
}

// start runs do in the background, unless it runs already, or has run recently.
func (n *now) start(name string, limit *rate.Sometimes, do func()) <-chan singleflight.Result {
	return n.running.DoChan(name, func() (any, error) {
		limit.Do(do)
		return nil, nil
	})
}

// sample takes a sample.
func (n *now) sample() {
	ctx, cancel := context.WithTimeout(context.Background(), sampleTimeout)
	defer cancel()
	groups, err := kafka.Groups(ctx, n.Cluster, n.Groups)
	at := time.Now()
	var rejected []*deadletters.Rejection
	if err == nil {
		rejected, _, _ = n.rejections.get(ctx, false) // the doctor reports what is wrong
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err = err; err == nil {
		n.samples = append(n.samples[max(len(n.samples)-samplesKept+1, 0):], sample{at, groups})
		n.rejected = rejected
	}
}

// diagnose runs the doctor.
func (n *now) diagnose() {
	findings := n.Diagnose(context.Background()) // each of its checks has a timeout
	d := diagnosis{At: time.Now(), Checks: len(findings)}
	for _, status := range []string{"wrong", "note"} {
		for _, f := range findings {
			if f.Status == status && (f.Part != "groups" || status == "wrong") { // the topics show the lag, as of now
				d.Findings = append(d.Findings, f)
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.diagnosis = d
}

func (n *now) topic(i int, seen time.Time) topicView {
	last := n.samples[len(n.samples)-1]
	g := last.groups[i]
	v := topicView{GroupState: g}
	for _, r := range n.rejected {
		if r.State == deadletters.Open && r.Consumer == g.Group && r.Topic == g.Topic {
			v.DeadLetters++
			if r.LastAt.After(seen) {
				v.New++
			}
		}
	}
	for _, s := range n.samples {
		v.History = append(v.History, progress{s.at, sum(s.groups[i].Ends), sum(s.groups[i].Committed)})
	}
	if idle := n.idle(i); idle >= stalledAfter {
		v.Stalled = append(v.Stalled, fmt.Sprintf("no event was handled in %s: the worker's log and its /readyz say why",
			idle.Round(time.Second)))
	}
	for _, l := range g.Lost {
		v.Stalled = append(v.Stalled, fmt.Sprintf("partition %d: offsets %d to %d are lost: %s", l.Partition, l.From, l.To-1, l.Reason))
	}
	if n.Statuses == nil {
		return v
	}
	for _, s := range n.Statuses() {
		if s.Group != g.Group {
			continue
		}
		if !s.Joined {
			v.Stalled = append(v.Stalled, "the consumer has not joined its group")
		}
		if s.Stalled {
			v.Stalled = append(v.Stalled, "different events fail in a row for an unknown reason: see the log")
		}
		for _, u := range s.Unreadable {
			v.Stalled = append(v.Stalled, fmt.Sprintf("partition %d cannot be read: %s", u.Partition, u.Reason))
		}
	}
	return v
}

// idle is for how long the i-th group has had events to handle and committed none.
func (n *now) idle(i int) time.Duration {
	k := len(n.samples) - 1
	last := n.samples[k]
	stuck := func(s sample) bool {
		return s.groups[i].Lag > 0 && maps.Equal(s.groups[i].Committed, last.groups[i].Committed)
	}
	for k >= 0 && stuck(n.samples[k]) {
		k--
	}
	return last.at.Sub(n.samples[min(k+1, len(n.samples)-1)].at)
}

func sum(offsets map[int32]int64) (all int64) {
	for _, n := range offsets {
		all += n
	}
	return all
}
