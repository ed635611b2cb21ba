package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/spf13/cobra"
)

func (a *app) deadLettersCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dead-letters",
		Short: "Find rejected events, and redrive or discard them",
		Long: "Find the events that consumers rejected, and redrive or discard them.\n\n" +
			"First `list` what there is, and `preview` those to act on: the preview says which can be redriven, and its token\n" +
			"pins them, so that events that are rejected later are not touched. Then `redrive TOKEN` writes them to their\n" +
			"topics again, for the consumer that rejected them alone, or `discard TOKEN` closes them. Every action is recorded\n" +
			"on topic " + bus.AuditTopic + ", which `audit` shows.\n\n" + kafkaHelp,
		Example: "  sipeat dead-letters list --since 24h\n" +
			"  sipeat dead-letters show contact-created/2/1042\n" +
			"  sipeat dead-letters preview --topic notification --class exhausted\n" +
			"  sipeat dead-letters redrive TOKEN --rate 20\n" +
			"  sipeat dead-letters discard TOKEN --reason 'test data, see ticket 4711'\n" +
			"  sipeat dead-letters audit",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(a.deadLettersListCommand(), a.deadLettersShowCommand(), a.deadLettersPreviewCommand(),
		a.deadLettersRedriveCommand(), a.deadLettersDiscardCommand(), a.deadLettersAuditCommand())
	for _, c := range root.Commands() {
		a.withFlags(c, "json", "brokers")
	}
	return root
}

func (a *app) onDeadLetters(run func(context.Context, *deadletters.Client, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if err := a.reach(c.Context(), kafka.Requirements{}); err != nil {
			return err
		}
		a.busy("reading") // as short as the shortest line that may follow
		return run(c.Context(), &deadletters.Client{Cluster: a.cluster, Topics: topicNames(), Logger: a.logger}, args)
	}
}

// addFilterFlags adds the flags that select dead letters. The filter is set before the command runs.
func addFilterFlags(c *cobra.Command) *deadletters.Filter {
	var f deadletters.Filter
	var class, id string
	var since time.Duration
	c.Flags().StringVar(&f.Topic, "topic", "", "only events of this `topic`")
	c.Flags().StringVar(&class, "class", "", "only of this `class`: "+strings.Join(classNames(), ", "))
	c.Flags().StringVar(&f.Consumer, "consumer", "", "only those that this consumer `group` rejected")
	c.Flags().StringVar(&f.Reason, "reason", "", "only those with this `reason`, which is all of it but for what it quotes")
	c.Flags().StringVar(&f.Key, "key", "", "only events with this `key`, the id of their subject")
	c.Flags().StringVar(&id, "id", "", "only the event with this `id`: its eventId, or the id that list shows")
	c.Flags().DurationVar(&since, "since", 0, "only those rejected in the last 90s, 2h ...")
	c.PreRunE = func(*cobra.Command, []string) error {
		if f.Topic != "" && !slices.Contains(topicNames(), f.Topic) {
			return fmt.Errorf("--topic: unknown topic %q; topics: %s", f.Topic, strings.Join(topicNames(), ", "))
		}
		if f.Class = bus.Class(class); class != "" && !slices.Contains(bus.Classes, f.Class) {
			return fmt.Errorf("--class: unknown class %q; classes: %s", class, strings.Join(classNames(), ", "))
		}
		f.SetID(id)
		if since < 0 {
			return errors.New("--since must be 0 or more")
		}
		if since > 0 {
			f.Since = time.Now().Add(-since)
		}
		return nil
	}
	return &f
}

func classNames() (names []string) {
	for _, c := range bus.Classes {
		names = append(names, string(c))
	}
	return names
}

func (a *app) deadLettersListCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List rejected events, with the number of each kind",
		Long: "List the rejected events that are open: neither redriven nor discarded. First how many each consumer rejected as\n" +
			"which class, and why the newest; then the events. --json prints one object per line, and all of them.",
		Example: "  sipeat dead-letters list --since 24h\n" +
			"  sipeat dead-letters list --topic notification --class refused\n" +
			"  sipeat dead-letters list --json | jq -r .reason | sort | uniq -c",
	}
	filter := addFilterFlags(c)
	c.Flags().BoolVar(&all, "all", false, "also those that were redriven or discarded")
	c.RunE = a.onDeadLetters(func(ctx context.Context, d *deadletters.Client, _ []string) error {
		rejections, err := d.List(ctx, *filter, all)
		if err != nil {
			return err
		}
		return a.printRejections(rejections)
	})
	return c
}

const noDeadLetters = "No open dead letter matches."

func (a *app) printRejections(rejections []*deadletters.Rejection) error {
	if !a.json {
		if len(rejections) == 0 {
			fmt.Fprintln(a.stdout, noDeadLetters)
			return nil
		}
		groups := func(g deadletters.Group) string {
			return fmt.Sprintf("%d\t%s\t%s\t%s\t%s", g.Count, events.OneLine(g.Consumer, 60), g.Class, g.LastAt.Format(time.RFC3339),
				events.OneLine(g.Reason, 100))
		}
		_ = printList(a, deadletters.Groups(rejections), "COUNT\tCONSUMER\tCLASS\tNEWEST\tREASON OF THE NEWEST", groups) // a table
		fmt.Fprintln(a.stdout)
	}
	return printList(a, rejections, "ID\tCLASS\tSTATE\tREDRIVES\tREJECTED\tKEY\tEVENT", func(r *deadletters.Rejection) string {
		return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s\t%s", r.ID, r.Class, r.State, r.Redrives, r.LastAt.Format(time.RFC3339),
			events.OneLine(r.Key, 40), events.OneLine(r.EventID, 40))
	})
}

func (a *app) deadLettersShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one rejected event with its value and headers",
		Long: "Show one rejected event with its value and headers. ID is topic/partition/offset of its record, as `list` shows it;\n" +
			"an event that two consumers rejected is shown for each. A long value is cut off, unless --json is given.",
		Example: "  sipeat dead-letters show contact-created/2/1042\n" +
			"  sipeat dead-letters show contact-created/2/1042 --json | jq -r .value",
		Args: cobra.MatchAll(cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
			_, err := bus.ParsePosition(args[0])
			return err
		}),
		RunE: a.onDeadLetters(func(ctx context.Context, d *deadletters.Client, args []string) error {
			rejections, err := d.Show(ctx, args[0])
			if events.KindOf(err) == events.NotFound {
				err = fmt.Errorf("%w; `sipeat dead-letters list --all` lists what was rejected", err)
			}
			for _, r := range rejections {
				err = errors.Join(err, a.showRejection(r))
			}
			return err
		}),
	}
}

func (a *app) showRejection(r *deadletters.Rejection) error {
	if a.json {
		return a.writeJSON(struct {
			*deadletters.Rejection
			Headers map[string][]string `json:"headers"`
			Value   any                 `json:"value"`
		}{r, headers(r.Record), text(r.Record.Value)})
	}
	rows := []string{"id\t" + r.ID, "event\t" + events.OneLine(r.EventID, 100), "key\t" + events.OneLine(r.Key, 200),
		"consumer\t" + events.OneLine(r.Consumer, 200), "state\t" + string(r.State), "class\t" + string(r.Class),
		"reason\t" + events.OneLine(r.Reason, 1000), fmt.Sprintf("attempts\t%d", r.Attempts),
		fmt.Sprintf("redrives\t%d", r.Redrives), "rejected first\t" + r.FirstAt.Format(time.RFC3339),
		"rejected last\t" + r.LastAt.Format(time.RFC3339)}
	for _, h := range r.Record.Headers {
		rows = append(rows, "header "+events.OneLine(h.Key, 100)+"\t"+events.OneLine(string(h.Value), 200))
	}
	a.printTable(append(rows, "value\t"+printable(r.Record.Value))...)
	return nil
}

// text is a key or value as text; nil = there is none.
func text(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

func headers(r bus.Record) map[string][]string {
	all := map[string][]string{}
	for _, h := range r.Headers {
		all[h.Key] = append(all[h.Key], string(h.Value))
	}
	return all
}

func (a *app) deadLettersAuditCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "audit",
		Short: "Show what was redriven and discarded: when, by whom and why",
		Long: "Show what was redriven and discarded, newest first. --json prints one object per line, all of them and with what\n" +
			"became of each event. An action that has not ended is running, or was killed. `sipeat tail " + bus.AuditTopic + "\n" +
			"--from-start --no-follow --json` prints the records themselves.",
		Example: "  sipeat dead-letters audit\n" +
			"  sipeat dead-letters audit --json | jq 'select(.kind == \"discard\") | .reason'",
		RunE: a.onDeadLetters(func(ctx context.Context, d *deadletters.Client, _ []string) error {
			actions, err := d.Audit(ctx)
			if err != nil {
				return err
			}
			slices.Reverse(actions)
			return a.printAudit(actions)
		}),
	}
}

func (a *app) printAudit(actions []*deadletters.Action) error {
	return printList(a, actions, "WHEN\tWHO\tACTION\tEVENTS\tRESULTS\tFILTER\tREASON", func(action *deadletters.Action) string {
		results := formatResults(action.Results)
		if action.Ended.IsZero() {
			results += " (not ended)"
		}
		return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s\t%s", action.At.Format(time.RFC3339), events.OneLine(action.Who, 60),
			action.Kind, action.Count, results, action.Filter, events.OneLine(cmp.Or(action.Error, action.Reason), 200))
	})
}

// formatResults formats numbers by result, such as "3 redriven, 1 refused".
func formatResults(numbers map[string]int) string {
	var results []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		results = append(results, fmt.Sprintf("%d %s", numbers[name], events.OneLine(name, 20)))
	}
	return cmp.Or(strings.Join(results, ", "), "none")
}
