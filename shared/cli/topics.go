package cli

import (
	"context"
	"fmt"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/spf13/cobra"
)

func (a *app) topicsCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "topics",
		Short: "Create missing topics, and show how existing ones differ",
		Long: "Create the topics of all event types and their dead-letter topics where they are missing, with one replica on\n" +
			"each broker, at most 3. Existing topics are not changed: differences in partitions, replication factor, retention,\n" +
			"size limits and cleanup are listed, each with a remedy.\n\n" +
			"With --check nothing is created, and the exit status is 1 if a topic is missing or differs.",
		Example: "  sipeat topics --brokers kafka1:9092,kafka2:9092\n" +
			"  sipeat topics --check --json | jq -r '.[] | select(.differences) | .topic'",
		RunE: func(c *cobra.Command, _ []string) error { return a.topics(c.Context(), check) },
	}
	c.Flags().BoolVar(&check, "check", false, "create nothing; exit status 1 if a topic is missing or differs")
	return a.withFlags(c, "json", "brokers")
}

func (a *app) topics(ctx context.Context, check bool) error {
	if err := a.reach(ctx, kafka.Requirements{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*reachTimeout)
	defer cancel()
	do := kafka.MakeTopics
	if check {
		do = kafka.InspectTopics
	}
	states, err := do(ctx, a.cluster, kafka.Topics(events.Catalogue()...)...)
	if err != nil {
		return err
	}
	if !a.json {
		a.printTopics(states)
	} else if err := a.writeJSON(states, indent); err != nil {
		return err
	}
	faulty := 0
	for _, s := range states {
		if !s.Exists || check && len(s.Differences) > 0 {
			faulty++
		}
	}
	if faulty > 0 {
		return fmt.Errorf("%d of %d topics are missing or differ; `sipeat topics` creates the missing ones", faulty, len(states))
	}
	return nil
}

func (a *app) printTopics(states []kafka.TopicState) {
	printRows(a, states, "TOPIC\tPARTITIONS\tREPLICAS\tSTATE", func(s kafka.TopicState) string {
		state := "ok"
		switch {
		case !s.Exists:
			state = "MISSING"
		case s.Created:
			state = "created"
		case len(s.Differences) > 0:
			state = "DIFFERS"
		}
		return fmt.Sprintf("%s\t%d\t%d\t%s", s.Topic, s.Partitions, s.Replication, state)
	})
	for _, s := range states {
		for _, d := range s.Differences {
			fmt.Fprintf(a.stdout, "\n%s: %s is %s and should be %s\n  -> %s\n", s.Topic, d.Setting, d.Have, d.Want, d.Remedy)
		}
	}
}
