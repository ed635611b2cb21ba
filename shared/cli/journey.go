package cli

import (
	"fmt"
	"time"

	"github.com/sipeat/sipeat/shared/console"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/spf13/cobra"
)

func (a *app) journeyCommand() *cobra.Command {
	return a.withFlags(&cobra.Command{
		Use:   "journey ID",
		Short: "Show what became of an event: records, rejections, read model, notifications, deliveries",
		Long: "Show what became of an event, and of all events of its chain: where they are on their topics, whether their group\n" +
			"has handled them, what was rejected and redriven, the row in the read model, and the deliveries of notifications.\n" +
			"ID is an eventId, the id of a resource, a correlationId or an Idempotency-Key. The topics are searched from the\n" +
			"time that the id contains on, or else from their beginning, for at most 20 s. An Idempotency-Key is found if its\n" +
			"caller was anonymous or had a token of AUTH_TOKEN.\n\n" + kafkaHelp,
		Example: "  sipeat journey 0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d\n" +
			"  sipeat journey 1719400000000-k3j2h1xyz --json | jq -r '.events[].payload'",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.reachAll(c.Context()); err != nil {
				return err
			}
			j, err := console.FindJourney(c.Context(), a.consoleOptions(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(j)
			}
			for _, s := range j.Events {
				a.printStation(s, "")
			}
			if !j.Complete {
				fmt.Fprintln(a.stdout, "The topics were not read to their ends: there may be more.")
			}
			return nil
		},
	}, "json", "brokers")
}

func (a *app) printStation(s *console.Station, indent string) {
	line := func(format string, args ...any) {
		fmt.Fprintln(a.stdout, indent+events.OneLine(fmt.Sprintf(format, args...), 1000))
	}
	line("%s %s of %s, key %s", s.Topic, events.LogID(s.EventID), events.OneLine(s.Metadata.Producer, 60), events.LogID(s.Key))
	indent += "  "
	if r := s.Request; r != nil {
		what := r.Route + " or `sipeat publish`"
		if r.Trace != "" {
			what = r.Route + ", traceparent " + events.OneLine(r.Trace, 60)
		}
		if r.IdempotencyKey {
			what += ", with an Idempotency-Key"
		}
		line("%s  %s", s.Metadata.Timestamp, what)
	}
	for _, p := range s.Records {
		state := "waits for " + s.Group
		if p.Handled {
			state = "handled by " + s.Group
		}
		if p.Redrive > 0 {
			state = fmt.Sprintf("redrive %d, %s", p.Redrive, state)
		}
		line("%s  record %d/%d, %s", p.At.UTC().Format(time.RFC3339Nano), p.Partition, p.Offset, state)
	}
	for _, r := range s.Rejections {
		line("%s  rejected by %s as %s after %s, now %s: %s", r.LastAt.UTC().Format(time.RFC3339Nano), r.Consumer, r.Class,
			counted(r.Attempts, "attempt"), r.State, r.Reason)
		for i, t := range r.LastAttempts {
			line("%s    attempt %d failed after %s", t.At.Format(time.RFC3339Nano), r.Attempts-len(r.LastAttempts)+i+1, t.Took)
		}
	}
	switch {
	case s.Row == nil:
		line("no row in the read model")
	case s.Row.EventID != s.EventID:
		line("the row in the read model is of event %s", events.LogID(s.Row.EventID))
	default:
		line("in the read model")
	}
	for _, d := range s.Deliveries {
		line("%s  %s %s %s", d.At, d.Channel, d.State, d.Class)
	}
	line("%s", s.Payload)
	for _, c := range s.Caused {
		a.printStation(c, indent+"  ")
	}
}
