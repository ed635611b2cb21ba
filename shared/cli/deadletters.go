package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
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

func classNames() []string {
	return collect(bus.Classes, func(c bus.Class) string { return string(c) })
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
		_ = printList(a, deadletters.Groups(rejections, false, time.Time{}), // a table
			"COUNT\tCONSUMER\tCLASS\tNEWEST\tREASON OF THE NEWEST", groups)
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

func (a *app) deadLettersPreviewCommand() *cobra.Command {
	var o deadletters.PreviewOptions
	c := &cobra.Command{
		Use:   "preview",
		Short: "Select rejected events to act on, and find out which can be redriven",
		Long: "Select the open rejected events that match, find out which of them can be redriven and why others cannot, and print\n" +
			"a token for `redrive` and `discard`. The token pins these events: those that are rejected later are not touched.\n\n" +
			"An event is refused if its consumer would reject it again, which is checked against the read model of STORE without\n" +
			"changing it; if it was redriven --max-redrives times; or if a later event of its key was handled.",
		Example: "  sipeat dead-letters preview --topic notification --class exhausted\n" +
			"  sipeat dead-letters preview --id contact-created/2/1042 --out-of-order\n" +
			"  TOKEN=$(sipeat dead-letters preview --since 2h --json | jq -r .token)",
	}
	filter := addFilterFlags(c)
	c.Flags().IntVar(&o.MaxRedrives, "max-redrives", deadletters.MaxRedrives,
		"refuse events that were redriven this `number` of times")
	c.Flags().BoolVar(&o.OutOfOrder, "out-of-order", false, "accept events although a later one of their key was handled")
	c.RunE = a.onDeadLetters(func(ctx context.Context, d *deadletters.Client, _ []string) error {
		model, err := a.consumersModel(ctx)
		if err != nil {
			return err
		}
		d.Check = checker(model)
		p, err := d.Preview(ctx, *filter, o)
		if err != nil {
			return err
		}
		return a.printPreview(p)
	})
	checkFilter := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if o.MaxRedrives < 1 {
			return errors.New("--max-redrives must be 1 or more")
		}
		return checkFilter(c, args)
	}
	return c
}

// consumersModel opens the read model that the consumers write, and creates no other.
func (a *app) consumersModel(ctx context.Context) (store.Store, error) {
	if err := a.checkModel(); err != nil {
		return nil, err
	}
	return a.openStore(ctx, a.settings.Store)
}

// checkModel fails if there is no read model, and opening one would create it.
func (a *app) checkModel() error {
	if where := a.settings.Store; where != settings.DynamoDB {
		if _, err := os.Stat(where); err != nil {
			return fmt.Errorf("STORE: %w; set it to the read model that the consumers write", err)
		}
	}
	return nil
}

func (a *app) printPreview(p *deadletters.Preview) error {
	if a.json {
		return a.writeJSON(p)
	}
	if p.Count == 0 {
		fmt.Fprintln(a.stdout, noDeadLetters)
		return nil
	}
	if len(p.Refused) > 0 {
		row := func(r deadletters.Refusal) string { return r.ID + "\t" + events.OneLine(r.Why, 300) }
		_ = printList(a, p.Refused, "REFUSED\tWHY", row) // a table
		fmt.Fprintln(a.stdout)
	}
	text := fmt.Sprintf("%d of %s can be redriven.", p.Eligible, counted(p.Count, "event"))
	if p.Eligible > 0 {
		text += "\n`sipeat dead-letters redrive TOKEN` redrives them."
	}
	fmt.Fprintf(a.stdout, "%s\n`sipeat dead-letters discard TOKEN --reason TEXT` closes all %d.\n\nTOKEN=%s\n",
		text, p.Count, p.Token)
	return nil
}

// checker returns the function that runs the projection of a consumer group on a record, without changing the read model.
func checker(model store.Reader) func(context.Context, string, bus.Record) error {
	functions := consumers.Consumers{Store: dryRun{model}}.Functions()
	return func(ctx context.Context, group string, r bus.Record) error {
		for _, f := range functions {
			if f.Replay.Group == group && f.Replay.Topic == r.Topic {
				return f.Replay.Try(ctx, r)
			}
		}
		return events.Errorf(events.Invalid, "this version of sipeat has no consumer %s", group)
	}
}

// dryRun is a read model whose Put returns what it would return, and changes nothing.
type dryRun struct{ store.Reader }

func (d dryRun) Put(ctx context.Context, item store.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	kept, err := d.Reader.Get(ctx, item.Type, item.ID)
	if events.KindOf(err) == events.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return item.Compare(kept.Digest[:])
}

var takesToken = cobra.MatchAll(cobra.ExactArgs(1),
	func(_ *cobra.Command, args []string) error { return deadletters.CheckToken(args[0]) })

func (a *app) deadLettersRedriveCommand() *cobra.Command {
	var o deadletters.ActOptions
	c := &cobra.Command{
		Use:   "redrive TOKEN",
		Short: "Write the events of a preview to their topics again, for the consumers that rejected them",
		Long: "Write the events that a preview found eligible to their topics again, with the same content, each for the one\n" +
			"consumer that rejected it. Each is written once, however often the command is interrupted and repeated with the\n" +
			"same token.\n\n" +
			"Results: redriven; refused by the preview; skipped, because it was redriven or discarded since the preview; failed.\n" +
			"The exit status is 1 if an event is not redriven, neither now nor by an earlier run.",
		Example: "  sipeat dead-letters redrive \"$TOKEN\"\n" +
			"  sipeat dead-letters redrive \"$TOKEN\" --rate 5 --json",
		Args: takesToken,
		PreRunE: func(*cobra.Command, []string) error {
			if o.Rate < 0 {
				return errors.New("--rate must be 0 or more")
			}
			return nil
		},
		RunE: a.onPreview(deadletters.Redrive, &o, deadletters.Redriven),
	}
	c.Flags().IntVar(&o.Rate, "rate", 50, "at most this `number` of events a second (0: no limit)")
	return c
}

func (a *app) deadLettersDiscardCommand() *cobra.Command {
	var o deadletters.ActOptions
	c := &cobra.Command{
		Use:   "discard TOKEN --reason TEXT",
		Short: "Close the events of a preview without redriving them",
		Long: "Close all events of a preview, the refused ones too: they are no longer open, and cannot be redriven. Their records\n" +
			"stay on the dead-letter topics. The exit status is 1 if an event is not discarded, neither now nor by an earlier run.",
		Example: "  sipeat dead-letters discard \"$TOKEN\" --reason 'test data, see ticket 4711'",
		Args:    takesToken,
		PreRunE: func(*cobra.Command, []string) error {
			if o.Reason = strings.TrimSpace(o.Reason); o.Reason == "" {
				return errors.New("--reason must say why, for the audit records")
			}
			return nil
		},
		RunE: a.onPreview(deadletters.Discard, &o, deadletters.Discarded),
	}
	c.Flags().StringVar(&o.Reason, "reason", "", "why, for the audit records")
	_ = c.MarkFlagRequired("reason")
	return c
}

// onPreview is the RunE of an action on a preview. It prints the result of each event, and fails unless all are as wanted.
func (a *app) onPreview(kind deadletters.Kind, o *deadletters.ActOptions, wanted deadletters.State,
) func(*cobra.Command, []string) error {
	return a.onDeadLetters(func(ctx context.Context, d *deadletters.Client, args []string) error {
		all, undone, results := 0, 0, map[string]int{}
		o.Who = whoami()
		o.Report = func(r deadletters.Result) {
			all++
			results[r.Result]++
			if !r.Done {
				undone++
			}
			if a.json {
				_ = a.writeJSON(r)
			} else {
				fmt.Fprintln(a.stdout, strings.TrimSpace(fmt.Sprintf("%-9s  %s  %s", r.Result, r.ID, events.OneLine(r.Why, 300))))
			}
		}
		err := d.Act(ctx, kind, args[0], *o)
		if all > 0 && !a.json {
			fmt.Fprintf(a.stdout, "%s: %s\n", counted(all, "event"), formatResults(results))
		}
		if err == nil && undone > 0 {
			err = fmt.Errorf("%d of %s not %s", undone, counted(all, "event"), wanted)
		}
		return err
	})
}

// whoami names the user and the machine, for the audit records.
func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return name + "@" + cmp.Or(host, "unknown")
}
