package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
)

// kafkaChecks are the checks that use the brokers.
type kafkaChecks struct {
	*app
	usable settings.Kafka // the cluster with the brokers that can be used only
}

func (k *kafkaChecks) brokers(ctx context.Context) (found []finding) {
	if k.cluster.Mechanism == settings.AWSMSKIAM {
		_, _ = k.cluster.AWSCredentials(ctx) // finding them may take longer than a broker waits; the login reports errors
	}
	states := kafka.Brokers(ctx, k.cluster)
	k.usable = k.cluster
	k.usable.Brokers = nil
	named := slices.ContainsFunc(states, func(s kafka.BrokerState) bool { return s.Advertised })
	for _, s := range states {
		if s.Fault != nil {
			says, remedy := s.Fault.Reason(), s.Fault.Remedy
			if !s.Given {
				says = "the cluster names this broker, but " + says
				remedy = "set its advertised.listeners to an address that can be reached from here; " + remedy
			}
			found = append(found, fault(s.Address, string(s.Fault.Stage)+": "+says, remedy))
			continue
		}
		if s.Advertised || !named { // one that is not named redirects clients to those that are
			k.usable.Brokers = append(k.usable.Brokers, s.Address)
		}
		says := "address ok"
		if k.cluster.TLS {
			says += ", TLS ok"
		}
		if k.cluster.Mechanism != "" {
			says += ", login ok (" + k.cluster.Mechanism + ")"
		}
		found = append(found, good(s.Address, says))
	}
	return found
}

// ask runs a check that needs a broker.
func (k *kafkaChecks) ask(run func() ([]finding, error)) []finding {
	if len(k.usable.Brokers) == 0 {
		return []finding{{Status: skipped, Says: "no broker can be used, see kafka"}}
	}
	found, err := run()
	if err != nil {
		found = append(found, fault("", err.Error(), "fix the cause, and run doctor again"))
	}
	return found
}

func (k *kafkaChecks) topics(ctx context.Context) []finding {
	return k.ask(func() (found []finding, err error) {
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

func (k *kafkaChecks) groups(ctx context.Context) []finding {
	return k.ask(func() (found []finding, err error) {
		groups, err := kafka.Groups(ctx, k.usable, groupTopics(allConsumers()))
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

func judgeGroup(g kafka.GroupState, now time.Time) finding {
	says := fmt.Sprintf("%s, %s, %s to handle on %s",
		g.State, counted(len(g.Members), "member"), counted(int(g.Lag), "event"), g.Topic)
	if !g.Oldest.IsZero() {
		says += fmt.Sprintf(", the oldest %s old", max(now.Sub(g.Oldest), 0).Round(time.Second))
	}
	switch {
	case g.Partitions == 0:
		return note(g.Group, fmt.Sprintf("its topic %s does not exist, see topics", g.Topic), "")
	case len(g.Members) == 0:
		return fault(g.Group, says, "nothing consumes "+g.Topic+": start `sipeat worker`, or find in its log why it ended")
	case g.State != "Stable" || g.Lag > 0:
		return note(g.Group, says, "run doctor again: if it stays so, the worker's log and its /readyz say why")
	}
	return good(g.Group, says)
}

func (k *kafkaChecks) deadLetters(ctx context.Context) []finding {
	return k.ask(func() (found []finding, err error) {
		var topics []string
		for _, t := range topicNames() {
			topics = append(topics, bus.DeadLetterTopic(t))
		}
		counts, err := kafka.CountDeadLetters(ctx, k.usable, topics...)
		for _, t := range topics {
			if c := counts[t]; c.Records > 0 {
				found = append(found, note(t, rejections(c), "see why: sipeat tail "+t+" --from-start --no-follow"))
			}
		}
		if err == nil && len(found) == 0 {
			found = append(found, good("", "none"))
		}
		return found, err
	})
}

// rejections says how many events were rejected, and of which classes, the most frequent first.
func rejections(c kafka.DeadLetterCount) string {
	says := counted(c.Events, "rejected event") + ": "
	if !c.Complete {
		says = fmt.Sprintf("%d dead letters: of the newest %d ", c.Records, c.Read)
	}
	classes := slices.SortedFunc(maps.Keys(c.Classes), func(a, b bus.Class) int {
		return cmp.Or(c.Classes[b]-c.Classes[a], strings.Compare(string(a), string(b)))
	})
	for i, class := range classes {
		if i > 0 {
			says += ", "
		}
		says += fmt.Sprintf("%d %s", c.Classes[class], class)
	}
	return says
}

// committed are the offsets that the groups have committed. An error is one of the check of the groups, too.
func (k *kafkaChecks) committed(ctx context.Context) store.Marks {
	marks := store.Marks{}
	if len(k.usable.Brokers) > 0 {
		groups, _ := kafka.Groups(ctx, k.usable, groupTopics(allConsumers()))
		for _, g := range groups {
			for partition, offset := range g.Committed {
				marks.Committed(g.Topic, partition, offset)
			}
		}
	}
	return marks
}
