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

// kafkaChecks are the checks of the brokers. All but that of the brokers themselves need one that can be used.
type kafkaChecks struct {
	cluster settings.Kafka
	once    sync.Once
	states  []kafka.BrokerState
	usable  settings.Kafka // the cluster with the brokers that can be used only
}

func (k *kafkaChecks) reach(ctx context.Context) {
	k.once.Do(func() {
		if k.cluster.Mechanism == settings.AWSMSKIAM {
			_, _ = k.cluster.AWSCredentials(ctx) // finding them may take longer than a broker waits; the login reports errors
		}
		k.states = kafka.Brokers(ctx, k.cluster)
		k.usable = k.cluster
		k.usable.Brokers = nil
		named := slices.ContainsFunc(k.states, func(s kafka.BrokerState) bool { return s.Advertised })
		for _, s := range k.states {
			if s.Fault == nil && (s.Advertised || !named) { // one that is not named redirects clients to those that are
				k.usable.Brokers = append(k.usable.Brokers, s.Address)
			}
		}
	})
}

func (k *kafkaChecks) brokers(ctx context.Context) (found []finding) {
	k.reach(ctx)
	for _, s := range k.states {
		if s.Fault == nil {
			says := "address ok"
			if k.cluster.TLS {
				says += ", TLS ok"
			}
			if k.cluster.Mechanism != "" {
				says += ", login ok (" + k.cluster.Mechanism + ")"
			}
			found = append(found, good(s.Address, says))
			continue
		}
		says, remedy := s.Fault.Reason(), s.Fault.Remedy
		if !s.Given {
			says = "the cluster names this broker, but " + says
			remedy = "set its advertised.listeners to an address that can be reached from here; " + remedy
		}
		found = append(found, fault(s.Address, string(s.Fault.Stage)+": "+says, remedy))
	}
	return found
}

// asked runs a check that needs a broker.
func (k *kafkaChecks) asked(ctx context.Context, look func(context.Context) ([]finding, error)) []finding {
	if k.reach(ctx); len(k.usable.Brokers) == 0 {
		return []finding{{Status: skipped, Says: "no broker can be used, see kafka"}}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	found, err := look(ctx)
	if err != nil {
		found = append(found, fault("", err.Error(), "fix the cause, and run doctor again"))
	}
	return found
}

func (k *kafkaChecks) topics(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		states, err := kafka.InspectTopics(ctx, k.usable, 0, kafka.Topics(events.Catalogue()...)...)
		for _, s := range states {
			if !s.Exists {
				found = append(found, fault(s.Topic, "missing", "sipeat topics"))
			}
			for _, d := range s.Differences {
				found = append(found, fault(s.Topic, fmt.Sprintf("%s is %s and should be %s", d.Setting, d.Have, d.Want), d.Remedy))
			}
		}
		if err == nil && len(found) == 0 {
			found = append(found, good("", fmt.Sprintf("%d, as declared", len(states))))
		}
		return found, err
	})
}

// settings checks the brokers' settings that affect the delivery guarantees.
func (k *kafkaChecks) settings(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		const creation, session, forget = "auto.create.topics.enable", "group.min.session.timeout.ms", "offsets.retention.minutes"
		set, err := kafka.BrokerSettings(ctx, k.usable, creation, session, forget)
		if err != nil {
			return nil, err
		}
		if slices.Contains(set[creation], "true") {
			found = append(found, note(creation, "true: a mistyped topic name creates a topic with default settings",
				"set it to false on the brokers, and create topics with `sipeat topics`"))
		}
		if least := largest(set[session]); k.cluster.SessionTimeout > 0 && least > k.cluster.SessionTimeout.Milliseconds() {
			found = append(found, fault(session, fmt.Sprintf("%d ms, more than KAFKA_SESSION_TIMEOUT=%s: no worker can join",
				least, k.cluster.SessionTimeout), "raise KAFKA_SESSION_TIMEOUT, or lower the setting of the brokers"))
		}
		if minutes := largest(set[forget]); minutes > 0 && minutes <= 7*24*60 {
			found = append(found, note(forget, fmt.Sprintf("%s: a group without members for that long restarts at the earliest record",
				time.Duration(minutes)*time.Minute), "raise it on the brokers if workers may be stopped for that long"))
		}
		if len(found) == 0 {
			found = append(found, good("", "compatible with the delivery guarantees"))
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
		groups, err := kafka.Groups(ctx, k.usable, topicsOfGroups())
		for _, g := range groups {
			for _, l := range g.Lost {
				found = append(found, fault(g.Group,
					fmt.Sprintf("offsets %d to %d of %s/%d are not in the log any more: %s", l.From, l.To-1, g.Topic, l.Partition, l.Reason),
					"a running worker resumes at the next record and logs the range: restore these events from a backup, or publish them again"))
			}
			found = append(found, judgeGroup(g, time.Now()))
		}
		return found, err
	})
}

func topicsOfGroups() map[string]string {
	topicOf := map[string]string{}
	for _, f := range allConsumers() {
		topicOf[f.Consumer.Group] = f.Consumer.Topic
	}
	return topicOf
}

func judgeGroup(g kafka.GroupState, now time.Time) finding {
	behind := "nothing"
	if g.Lag > 0 {
		behind = counted(int(g.Lag), "event")
		if !g.Oldest.IsZero() {
			behind += fmt.Sprintf(", the oldest %s old,", max(now.Sub(g.Oldest), 0).Round(time.Second))
		}
	}
	committed := int64(0)
	for _, offset := range g.Committed {
		committed += offset
	}
	says := fmt.Sprintf("%s, %s, %s to handle on %s, %d committed",
		g.State, counted(len(g.Members), "member"), behind, g.Topic, committed)
	switch {
	case g.Partitions == 0:
		return note(g.Group, fmt.Sprintf("its topic %s does not exist, see topics", g.Topic), "")
	case len(g.Members) == 0:
		return fault(g.Group, says, "nothing consumes "+g.Topic+": start `sipeat worker`, or find in its log why it ended")
	case g.State != "Stable":
		return note(g.Group, says, "members are joining or leaving: run doctor again; if it stays so, see the workers' logs")
	case g.Lag > 0:
		return note(g.Group, says, "run doctor again: if the number does not fall, the worker's log and its /readyz say why")
	}
	return good(g.Group, says)
}

const deadLettersTimeout = 5 * time.Second

func (k *kafkaChecks) deadLetters(ctx context.Context) []finding {
	return k.asked(ctx, func(ctx context.Context) (found []finding, err error) {
		var topics, missing []string
		for _, t := range topicNames() {
			topics = append(topics, bus.DeadLetterTopic(t))
		}
		ctx, cancel := context.WithTimeout(ctx, deadLettersTimeout)
		defer cancel()
		counts, err := kafka.CountDeadLetters(ctx, k.usable, topics...)
		for _, t := range topics {
			c, exists := counts[t]
			if !exists {
				missing = append(missing, t)
			}
			if c.Records > 0 {
				f := note(t, rejections(c), "see why: sipeat tail "+t+" --from-start --no-follow")
				f.Classes = c.Classes
				found = append(found, f)
			}
		}
		switch {
		case err == nil && len(missing) > 0:
			found = append(found, finding{Status: skipped, Says: "missing: " + strings.Join(missing, ", ") + ", see topics"})
		case err == nil && len(found) == 0:
			found = append(found, good("", "none on "+strings.Join(topics, ", ")))
		}
		return found, err
	})
}

// rejections says how many events were rejected, and of which classes, the most frequent first.
func rejections(c kafka.DeadLetterCount) string {
	says, of := counted(c.Events, "rejected event"), ""
	if !c.Complete {
		says, of = fmt.Sprintf("%d dead letters", c.Records), fmt.Sprintf("of the newest %d ", c.Read)
	}
	if c.Read == 0 {
		return says
	}
	classes := slices.SortedFunc(maps.Keys(c.Classes), func(a, b bus.Class) int {
		return cmp.Or(c.Classes[b]-c.Classes[a], strings.Compare(string(a), string(b)))
	})
	var parts []string
	for _, class := range classes {
		parts = append(parts, fmt.Sprintf("%d %s", c.Classes[class], class))
	}
	return says + ": " + of + strings.Join(parts, ", ")
}
