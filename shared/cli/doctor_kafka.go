package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
)

// kafkaChecks are the checks that go to the brokers. All but the first need one that lets us through.
type kafkaChecks struct {
	cluster settings.Kafka
	once    sync.Once
	states  []kafka.BrokerState
	usable  settings.Kafka // with the brokers that let us through; none = there is none
}

func (k *kafkaChecks) reach(ctx context.Context) {
	k.once.Do(func() {
		if k.cluster.Mechanism == settings.AWSMSKIAM {
			_, _ = k.cluster.AWSCredentials(ctx) // they may take longer to find than a broker waits; what is wrong with them a login says
		}
		k.states = kafka.Brokers(ctx, k.cluster)
		k.usable = k.cluster
		k.usable.Brokers = nil
		named := slices.ContainsFunc(k.states, func(s kafka.BrokerState) bool { return s.Named })
		for _, s := range k.states {
			if s.Found == nil && (s.Named || !named) { // who is not named passes us on to those who are
				k.usable.Brokers = append(k.usable.Brokers, s.Address)
			}
		}
	})
}

func (k *kafkaChecks) brokers(ctx context.Context) (found []finding) {
	k.reach(ctx)
	for _, s := range k.states {
		switch {
		case s.Found == nil:
			says := "address ok"
			if k.cluster.TLS {
				says += ", TLS ok"
			}
			if k.cluster.Mechanism != "" {
				says += ", login ok (" + k.cluster.Mechanism + ")"
			}
			found = append(found, finding{Subject: s.Address, Status: well, Says: says})
		case s.Given:
			found = append(found, finding{Subject: s.Address, Status: wrong, Says: string(s.Found.Stage) + ": " + reason(s.Found), Remedy: s.Found.Remedy})
		default:
			found = append(found, finding{Subject: s.Address, Status: wrong,
				Says:   string(s.Found.Stage) + ": the cluster names this broker, but " + reason(s.Found),
				Remedy: "put an address into its advertised.listeners that can be reached from here, or run this where that one can; " + s.Found.Remedy})
		}
	}
	return found
}

func reason(u *kafka.Unreachable) string {
	if u.Err != nil {
		return fmt.Sprintf("%s (%v)", u.Message, u.Err)
	}
	return u.Message
}

// asked runs a check that needs a broker; what it cannot find out is a finding too.
func (k *kafkaChecks) asked(ctx context.Context, look func(context.Context) ([]finding, error)) []finding {
	if k.reach(ctx); len(k.usable.Brokers) == 0 {
		return []finding{{Status: skipped, Says: "no broker to ask, see kafka"}}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	found, err := look(ctx)
	if err != nil {
		found = append(found, finding{Status: wrong, Says: err.Error(), Remedy: "this could not be looked at; the reason says what to mend"})
	}
	return found
}

func (k *kafkaChecks) topics(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		states, err := kafka.InspectTopics(ctx, k.usable, 0, kafka.Topics(events.Catalogue()...)...)
		for _, s := range states {
			if !s.Exists {
				found = append(found, finding{Subject: s.Topic, Status: wrong, Says: "it is missing", Remedy: "sipeat topics"})
			}
			for _, d := range s.Differences {
				found = append(found, finding{Subject: s.Topic, Status: wrong, Says: fmt.Sprintf("%s is %s and should be %s", d.Setting, d.Have, d.Want), Remedy: d.Remedy})
			}
		}
		if err == nil && len(found) == 0 {
			found = []finding{{Status: well, Says: fmt.Sprintf("%d, as declared", len(states))}}
		}
		return found, err
	})
}

// settings looks at what the brokers do behind a topic's back.
func (k *kafkaChecks) settings(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		const creation, session, forget = "auto.create.topics.enable", "group.min.session.timeout.ms", "offsets.retention.minutes"
		set, err := kafka.BrokerSettings(ctx, k.usable, creation, session, forget)
		if err != nil {
			return nil, err
		}
		if slices.Contains(set[creation], "true") {
			found = append(found, finding{Subject: creation, Status: noted, Says: "true: whoever mistypes a topic makes one, with other settings than ours",
				Remedy: "set it to false on the brokers, and create topics with sipeat topics"})
		}
		if least := largest(set[session]); k.cluster.SessionTimeout > 0 && least > k.cluster.SessionTimeout.Milliseconds() {
			found = append(found, finding{Subject: session, Status: wrong, Says: fmt.Sprintf("%d ms, which is more than KAFKA_SESSION_TIMEOUT=%s: no worker can join", least, k.cluster.SessionTimeout),
				Remedy: "set the one or the other"})
		}
		if minutes := largest(set[forget]); minutes > 0 && minutes <= 7*24*60 {
			found = append(found, finding{Subject: forget, Status: noted,
				Says:   fmt.Sprintf("%s: a group that has no member for as long begins again at the earliest record", time.Duration(minutes)*time.Minute),
				Remedy: "set it longer on the brokers if workers may stand still for that long"})
		}
		if len(found) == 0 {
			found = []finding{{Status: well, Says: "none breaks a promise"}}
		}
		return found, nil
	})
}

func largest(values []string) (n int64) {
	for _, v := range values {
		if i, err := strconv.ParseInt(v, 10, 64); err == nil {
			n = max(n, i)
		}
	}
	return n
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (k *kafkaChecks) groups(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		topicOf := map[string]string{}
		for _, f := range allConsumers() {
			topicOf[f.Consumer.Group] = f.Consumer.Topic
		}
		groups, err := kafka.Groups(ctx, k.usable, topicOf)
		for _, g := range groups {
			for _, l := range g.Lost {
				found = append(found, finding{Subject: g.Group, Status: wrong,
					Says:   fmt.Sprintf("offsets %d to %d of %s/%d are committed or due, but not in the log: %s", l.From, l.To-1, g.Topic, l.Partition, l.Reason),
					Remedy: "a running worker resumes where the log does, and logs the range: look for its events in a backup, or publish them again"})
			}
			found = append(found, judgeGroup(g, time.Now()))
		}
		return found, err
	})
}

func judgeGroup(g kafka.GroupState, now time.Time) finding {
	behind := "nothing"
	if g.Lag > 0 {
		behind = counted(int(g.Lag), "event")
		if !g.Oldest.IsZero() {
			behind += fmt.Sprintf(", the oldest %s old,", max(now.Sub(g.Oldest), 0).Round(time.Second))
		}
	}
	f := finding{Subject: g.Group, Status: well, Says: fmt.Sprintf("%s, %s, %s to handle on %s, %d committed",
		g.State, counted(len(g.Members), "member"), behind, g.Topic, g.Committed)}
	switch {
	case g.Partitions == 0:
		f.Status, f.Says = noted, fmt.Sprintf("its topic %s does not exist, see topics", g.Topic)
	case len(g.Members) == 0:
		f.Status, f.Remedy = wrong, "nothing consumes "+g.Topic+": start `sipeat worker`, or see why it ended"
	case g.State != "Stable":
		f.Status, f.Remedy = noted, "members are joining or leaving; run doctor again, and if it stays so see the workers' logs"
	case g.Lag > 0:
		f.Status, f.Remedy = noted, "run doctor again: if it does not fall, the worker's log and its /readyz say what it waits for"
	}
	return f
}

// deadLettersTimeout is how long the dead letters may take to read.
const deadLettersTimeout = 5 * time.Second

// byClass is why the newest were rejected, most frequent first.
func byClass(c kafka.DeadLetterCount) string {
	if c.Read == 0 {
		return ""
	}
	names := slices.SortedFunc(maps.Keys(c.Classes), func(a, b bus.Class) int {
		return cmp.Or(c.Classes[b]-c.Classes[a], strings.Compare(string(a), string(b)))
	})
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%d %s", c.Classes[name], name)
	}
	of := ""
	if !c.Complete {
		of = fmt.Sprintf("of the newest %d ", c.Read)
	}
	return ": " + of + strings.Join(parts, ", ")
}

func (k *kafkaChecks) deadLetters(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		var topics []string
		for _, t := range topicNames() {
			topics = append(topics, bus.DeadLetterTopic(t))
		}
		looking, enough := context.WithTimeout(ctx, deadLettersTimeout)
		defer enough()
		counts, err := kafka.CountDeadLetters(looking, k.usable, topics...)
		var missing []string // said of the topics
		for _, t := range topics {
			c, there := counts[t]
			if !there {
				missing = append(missing, t)
			}
			if c.Records > 0 {
				says := counted(c.Events, "rejected event")
				if !c.Complete {
					says = fmt.Sprintf("%d dead letters", c.Records)
				}
				found = append(found, finding{Subject: t, Status: noted, Says: says + byClass(c), Classes: c.Classes,
					Remedy: "see why: sipeat tail " + t + " --from-start --no-follow --json"})
			}
		}
		if err == nil && len(missing) > 0 {
			found = append(found, finding{Status: skipped, Says: "there is no " + strings.Join(missing, ", ") + ", see topics"})
		}
		if err == nil && len(found) == 0 {
			found = []finding{{Status: well, Says: "none on " + strings.Join(topics, ", ")}}
		}
		return found, err
	})
}
