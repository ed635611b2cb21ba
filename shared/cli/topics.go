package cli

import (
	"context"
	"encoding/json"
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
		Short: "Create the topics that are missing; show where the others differ",
		Long: "Create the topics of the event types, and those of their dead letters, where they are missing. Topics that\n" +
			"are there stay as they are; where one differs from what it should be (partitions, copies, retention, size\n" +
			"limits, cleanup) that is shown, with what to do about it.\n\n" +
			"With --check nothing is created. The exit status is 1 if a topic is missing or differs, and 0 otherwise;\n" +
			"without --check it is 1 if a topic could not be created or looked at.\n\n" +
			"It is about Kafka alone. A DynamoDB table that DYNAMODB_ENDPOINT names is made by the first api or worker; on\n" +
			"AWS it belongs to whoever deploys.",
		Example: "  sipeat topics\n" +
			"  sipeat topics --check\n" +
			"  sipeat topics --replication 3 --brokers kafka1:9092,kafka2:9092,kafka3:9092\n" +
			"  sipeat topics --check --json | jq -r '.[] | select(.differences) | .topic'",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if replication < 0 || replication > 100 {
				return wrongUsage(c, fmt.Errorf("--replication: %d is no number of brokers; for example --replication 3", replication))
			}
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			return a.topics(c.Context(), cluster, replication, check, asJSON)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "change nothing; exit status 1 if something is missing or differs")
	c.Flags().IntVar(&replication, "replication", 0, "on how many brokers each topic shall be (0: as many as there are, up to 3)")
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
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(states)
	} else {
		err = a.showTopics(states)
	}
	if err != nil {
		return err
	}
	if !check {
		return unseen(states)
	}
	return amiss(states)
}

// unseen is nil unless topics were created that the brokers do not show yet.
func unseen(states []kafka.TopicState) error {
	var names []string
	for _, s := range states {
		if s.Created && !s.Exists {
			names = append(names, s.Topic)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("created, but not all brokers show them yet: %s; look again with `sipeat topics --check`", strings.Join(names, ", "))
}

// amiss is nil where every topic is there and as declared.
func amiss(states []kafka.TopicState) error {
	missing, differ := 0, 0
	for _, s := range states {
		switch {
		case !s.Exists:
			missing++
		case len(s.Differences) > 0:
			differ++
		}
	}
	switch {
	case missing > 0:
		return fmt.Errorf("%d of %d topics are missing or differ; `sipeat topics` creates what is missing", missing+differ, len(states))
	case differ > 0:
		return fmt.Errorf("%d of %d topics differ; beside each difference stands how to mend it", differ, len(states))
	}
	return nil
}

func (a *app) showTopics(states []kafka.TopicState) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOPIC\tPARTITIONS\tCOPIES\tRETENTION\tMAX BYTES\tSTATE")
	for _, s := range states {
		state := "ok"
		switch {
		case s.Created && !s.Exists:
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\tcreated, not seen yet\n", s.Topic)
			continue
		case !s.Exists:
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\tMISSING\n", s.Topic)
			continue
		case s.Created:
			state = "created"
		case len(s.Differences) > 0:
			state = "DIFFERS"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", s.Topic, s.Partitions, s.Replication,
			spelledRetention(s.Config["retention.ms"]), s.Config["max.message.bytes"], state)
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

// spelledRetention is milliseconds as people say them.
func spelledRetention(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	switch {
	case err != nil:
		return "?"
	case n < 0:
		return "for ever"
	case n%(24*time.Hour).Milliseconds() == 0:
		return fmt.Sprintf("%d days", n/(24*time.Hour).Milliseconds())
	default:
		return (time.Duration(n) * time.Millisecond).String()
	}
}
