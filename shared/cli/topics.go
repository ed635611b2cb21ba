package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

func (a *app) topicsCommand() *cobra.Command {
	var brokers string
	var check, asJSON bool
	var replication int
	c := &cobra.Command{
		Use:   "topics",
		Short: "Create missing topics, and show how existing ones differ",
		Long: "Create the topics of all event types and their dead letters where they are missing. Existing topics are not\n" +
			"changed: differences in partitions, replication factor, retention, size limits and cleanup are listed, each with\n" +
			"a remedy.\n\n" +
			"With --check nothing is created, and the exit status is 1 if a topic is missing or differs. Without it, the exit\n" +
			"status is 1 if a topic could not be created or described.",
		Example: "  sipeat topics\n" +
			"  sipeat topics --check\n" +
			"  sipeat topics --replication 3 --brokers kafka1:9092,kafka2:9092,kafka3:9092\n" +
			"  sipeat topics --check --json | jq -r '.[] | select(.differences) | .topic'",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if replication < 0 || replication > 100 {
				return wrongUsage(c, fmt.Errorf("--replication: %d is not a number of brokers; for example 3", replication))
			}
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			return a.topics(c.Context(), cluster, replication, check, asJSON)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "create nothing; exit status 1 if a topic is missing or differs")
	c.Flags().IntVar(&replication, "replication", 0, "replication factor (0: number of brokers, at most 3)")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

func (a *app) topics(ctx context.Context, cluster settings.Kafka, replication int, check, asJSON bool) error {
	cluster, err := a.reach(ctx, cluster, kafka.Requirements{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*reachTimeout)
	defer cancel()
	do := kafka.MakeTopics
	if check {
		do = kafka.InspectTopics
	}
	states, err := do(ctx, cluster, replication, kafka.Topics(events.Catalogue()...)...)
	if err != nil {
		return err
	}
	if asJSON {
		err = a.writeJSON(states, "  ")
	} else {
		err = a.showTopics(states)
	}
	if err != nil {
		return err
	}
	return judgeTopics(states, check)
}

// judgeTopics returns an error if topics are missing or differ; without check, if created ones are not visible yet.
func judgeTopics(states []kafka.TopicState, check bool) error {
	missing, differ := 0, 0
	var invisible []string
	for _, s := range states {
		switch {
		case s.Created && !s.Exists:
			invisible = append(invisible, s.Topic)
		case !s.Exists:
			missing++
		case len(s.Differences) > 0:
			differ++
		}
	}
	switch {
	case len(invisible) > 0:
		return fmt.Errorf("created, but not visible on all brokers yet: %s; run `sipeat topics --check`", strings.Join(invisible, ", "))
	case check && missing > 0:
		return fmt.Errorf("%d of %d topics are missing or differ; `sipeat topics` creates the missing ones",
			missing+differ, len(states))
	case check && differ > 0:
		return fmt.Errorf("%d of %d topics differ; see the remedies above", differ, len(states))
	}
	return nil
}

func (a *app) showTopics(states []kafka.TopicState) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOPIC\tPARTITIONS\tREPLICAS\tRETENTION\tMAX BYTES\tSTATE")
	for _, s := range states {
		state := "ok"
		switch {
		case s.Created && !s.Exists:
			state = "created, not visible yet"
		case !s.Exists:
			state = "MISSING"
		case s.Created:
			state = "created"
		case len(s.Differences) > 0:
			state = "DIFFERS"
		}
		if !s.Exists {
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\t%s\n", s.Topic, state)
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", s.Topic, s.Partitions, s.Replication,
			retention(s.Config["retention.ms"]), s.Config["max.message.bytes"], state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range states {
		for i, d := range s.Differences {
			if i == 0 {
				fmt.Fprintf(a.stdout, "\n%s\n", s.Topic)
			}
			fmt.Fprintf(a.stdout, "  %s is %s and should be %s\n    -> %s\n", d.Setting, d.Have, d.Want, d.Remedy)
		}
	}
	return nil
}

// retention shows retention.ms for people.
func retention(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	switch {
	case err != nil:
		return "?"
	case n < 0:
		return "unlimited"
	case n%(24*time.Hour).Milliseconds() == 0:
		return counted(int(n/(24*time.Hour).Milliseconds()), "day")
	}
	return (time.Duration(n) * time.Millisecond).String()
}
