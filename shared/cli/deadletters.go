package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/go-json-experiment/json"
	"github.com/schollz/progressbar/v3"
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
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(a.deadLettersListCommand(), a.deadLettersShowCommand(), a.deadLettersPreviewCommand(),
		a.deadLettersRedriveCommand(), a.deadLettersDiscardCommand(), a.deadLettersAuditCommand())
	for _, c := range root.Commands() {
		a.addJSONFlag(c)
		addFlags(c, "brokers")
	}
	return root
}

// deadLetters checks the brokers and returns access to their dead letters.
func (a *app) deadLetters(ctx context.Context) (*deadletters.Client, error) {
	err := a.reach(ctx, kafka.Requirements{})
	return &deadletters.Client{Cluster: a.cluster, Topics: topicNames(), Logger: a.logger}, err
}

// addFilterFlags adds the flags that select dead letters, and returns the function that reads them.
func addFilterFlags(c *cobra.Command) func() (deadletters.Filter, error) {
	var f deadletters.Filter
	var class string
	var since time.Duration
	c.Flags().StringVar(&f.Topic, "topic", "", "only events of this topic")
	c.Flags().StringVar(&class, "class", "", "only of this class: "+strings.Join(classNames(), ", "))
	c.Flags().StringVar(&f.Consumer, "consumer", "", "only those that this consumer group rejected")
	c.Flags().StringVar(&f.Key, "key", "", "only events with this key, the id of their subject")
	c.Flags().StringVar(&f.EventID, "id", "", "only the event with this eventId")
	c.Flags().DurationVar(&since, "since", 0, "only those rejected in the last 90s, 2h ...")
	return func() (deadletters.Filter, error) {
		if f.Topic != "" && !slices.Contains(topicNames(), f.Topic) {
			return f, usageError{fmt.Errorf("--topic: unknown topic %q; topics: %s", f.Topic, strings.Join(topicNames(), ", "))}
		}
		if f.Class = bus.Class(class); class != "" && !slices.Contains(bus.Classes, f.Class) {
			return f, usageError{fmt.Errorf("--class: unknown class %q; classes: %s", class, strings.Join(classNames(), ", "))}
		}
		if since < 0 {
			return f, usageError{errors.New("--since must be 0 or more")}
		}
		if since > 0 {
			f.Since = time.Now().Add(-since)
		}
		return f, nil
	}
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
		Long: "List the rejected events that are open: neither redriven nor discarded. First the number of each consumer and\n" +
			"class with the newest reason, then each event. With --json one object a line.",
		Args: cobra.NoArgs,
	}
	filter := addFilterFlags(c)
	c.Flags().BoolVar(&all, "all", false, "also those that were redriven or discarded")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		client, err := a.deadLetters(c.Context())
		if err != nil {
			return err
		}
		rejections, err := client.List(c.Context(), f, all)
		if err != nil {
			return err
		}
		return a.printRejections(rejections)
	}
	return c
}

func (a *app) printRejections(rejections []*deadletters.Rejection) error {
	if a.json {
		for _, r := range rejections {
			if err := a.writeJSON(json.Marshal(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rejections) == 0 {
		_, err := fmt.Fprintln(a.stdout, "There are no such dead letters.")
		return err
	}
	rows := []string{"COUNT\tCONSUMER\tCLASS\tNEWEST\tREASON OF THE NEWEST"}
	for _, g := range deadletters.Groups(rejections) {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s", g.Count, g.Consumer, g.Class, g.LastAt.Format(time.RFC3339),
			events.OneLine(g.Reason, 100)))
	}
	if err := printTable(a.stdout, rows...); err != nil {
		return err
	}
	rows = []string{"\nID\tCLASS\tSTATE\tREDRIVES\tREJECTED\tKEY\tEVENT"}
	for _, r := range rejections {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s\t%s", r.ID, r.Class, r.State, r.Redrives,
			r.LastAt.Format(time.RFC3339), events.OneLine(r.Key, 40), events.OneLine(r.EventID, 40)))
	}
	return printTable(a.stdout, rows...)
}

func (a *app) deadLettersShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one rejected event with its value and headers",
		Long:  "Show one rejected event, by its id as `list` shows it: topic/partition/offset of the record.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.deadLetters(c.Context())
			if err != nil {
				return err
			}
			rejections, err := client.Show(c.Context(), args[0])
			if err != nil {
				return err
			}
			if len(rejections) == 0 {
				return fmt.Errorf("there is no dead letter of %s; `sipeat dead-letters list --all` lists those there are", args[0])
			}
			for _, r := range rejections {
				if err := a.showRejection(r); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) showRejection(r *deadletters.Rejection) error {
	headers := map[string]string{}
	for _, h := range r.Record.Headers {
		headers[h.Key] = string(h.Value)
	}
	if a.json {
		return a.writeJSON(json.Marshal(struct {
			*deadletters.Rejection
			Headers map[string]string `json:"headers"`
			Value   *string           `json:"value"`
		}{r, headers, text(r.Record.Value)}, json.Deterministic(true)))
	}
	rows := []string{"id\t" + r.ID, "event\t" + events.OneLine(r.EventID, 100), "key\t" + events.OneLine(r.Key, 200),
		"consumer\t" + r.Consumer, "state\t" + string(r.State), "class\t" + string(r.Class),
		"reason\t" + events.OneLine(r.Reason, 1000), fmt.Sprintf("attempts\t%d", r.Attempts),
		fmt.Sprintf("redrives\t%d", r.Redrives), "rejected first\t" + r.FirstAt.Format(time.RFC3339),
		"rejected last\t" + r.LastAt.Format(time.RFC3339)}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		rows = append(rows, "header "+events.OneLine(name, 100)+"\t"+events.OneLine(headers[name], 200))
	}
	return printTable(a.stdout, append(rows, "value\t"+printable(r.Record.Value))...)
}

// text is a value as text; nil = there is none.
func text(value []byte) *string {
	if value == nil {
		return nil
	}
	s := string(value)
	return &s
}

func (a *app) deadLettersPreviewCommand() *cobra.Command {
	var o deadletters.PreviewOptions
	c := &cobra.Command{
		Use:   "preview",
		Short: "Select rejected events to act on, and say which can be redriven",
		Long: "Select the open rejected events that match, say which of them can be redriven and why others cannot, and print a\n" +
			"token for `redrive` and `discard`. Events are checked against the read model of STORE, without changing it.\n\n" +
			"An event is refused if its consumer would reject it again, if it was redriven --max-redrives times, or if a later\n" +
			"event of its key has been handled.",
		Args: cobra.NoArgs,
	}
	filter := addFilterFlags(c)
	c.Flags().IntVar(&o.MaxRedrives, "max-redrives", deadletters.MaxRedrives, "refuse events that were redriven so often")
	c.Flags().BoolVar(&o.OutOfOrder, "out-of-order", false, "accept events although a later one of their key was handled")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		if o.MaxRedrives < 1 {
			return usageError{errors.New("--max-redrives must be 1 or more")}
		}
		return a.previewDeadLetters(c.Context(), f, o)
	}
	return c
}

func (a *app) previewDeadLetters(ctx context.Context, f deadletters.Filter, o deadletters.PreviewOptions) error {
	client, err := a.deadLetters(ctx)
	if err != nil {
		return err
	}
	where := a.settings.Store
	if where != settings.DynamoDB {
		if _, err := os.Stat(where); err != nil {
			return fmt.Errorf("STORE: %w; set it to the read model that the consumers write", err)
		}
	}
	model, err := a.openStore(ctx, where)
	if err != nil {
		return err
	}
	client.Check = checker(model)
	p, err := client.Preview(ctx, f, o)
	if err != nil {
		return err
	}
	if a.json {
		return a.writeJSON(json.Marshal(p))
	}
	if len(p.Rejections) == 0 {
		_, err := fmt.Fprintln(a.stdout, "There are no such dead letters.")
		return err
	}
	for _, r := range p.Refused {
		fmt.Fprintf(a.stdout, "refused  %s  %s\n", r.ID, events.OneLine(r.Why, 300))
	}
	_, err = fmt.Fprintf(a.stdout, "%d of %s can be redriven (`sipeat dead-letters redrive TOKEN`); discard closes all.\n\n"+
		"TOKEN=%s\n", p.Eligible, counted(len(p.Rejections), "event"), p.Token)
	return err
}

// checker returns the function that runs the projection of a consumer group on a record, without changing the read model.
func checker(model store.Reader) func(context.Context, string, bus.Record) error {
	byGroup := map[string]bus.Consumer{}
	for _, f := range (consumers.Consumers{Store: dryRun{model}}).Functions() {
		byGroup[f.Replay.Group+" "+f.Replay.Topic] = f.Replay
	}
	return func(ctx context.Context, group string, r bus.Record) error {
		c, ok := byGroup[group+" "+r.Topic]
		if !ok {
			return events.Errorf(events.Invalid, "this version of sipeat has no consumer %s", group)
		}
		return c.Try(ctx, r)
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

func (a *app) deadLettersRedriveCommand() *cobra.Command {
	var o deadletters.ActOptions
	c := &cobra.Command{
		Use:   "redrive TOKEN",
		Short: "Give the events of a preview to their consumers again",
		Long: "Write the events that a preview found eligible to their topics again, with the same content, for the consumer that\n" +
			"rejected each. Only they are written, each once, however often the command is interrupted and repeated.\n\n" +
			"The exit status is 1 if an event was not redriven.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Rate < 0 {
				return usageError{errors.New("--rate must be 0 or more")}
			}
			return a.actOnDeadLetters(c.Context(), o, "redriven", func(ctx context.Context, d *deadletters.Client,
				o deadletters.ActOptions) error {
				return d.Redrive(ctx, args[0], o)
			})
		},
	}
	c.Flags().IntVar(&o.Rate, "rate", 50, "events a second, at most (0: no limit)")
	return c
}

func (a *app) deadLettersDiscardCommand() *cobra.Command {
	var o deadletters.ActOptions
	c := &cobra.Command{
		Use:   "discard TOKEN --reason TEXT",
		Short: "Close the events of a preview without redriving them",
		Long: "Close all events of a preview, the refused ones too: they are no longer open, and cannot be redriven. Their records\n" +
			"stay on the dead-letter topics.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Reason = strings.TrimSpace(o.Reason); o.Reason == "" {
				return usageError{errors.New("--reason must say why, for whoever reads the audit records")}
			}
			return a.actOnDeadLetters(c.Context(), o, "discarded", func(ctx context.Context, d *deadletters.Client,
				o deadletters.ActOptions) error {
				return d.Discard(ctx, args[0], o)
			})
		},
	}
	c.Flags().StringVar(&o.Reason, "reason", "", "why, for the audit records")
	_ = c.MarkFlagRequired("reason")
	return c
}

// actOnDeadLetters reports the result of each event, and returns an error if not all have the wanted one.
func (a *app) actOnDeadLetters(ctx context.Context, o deadletters.ActOptions, wanted string,
	act func(context.Context, *deadletters.Client, deadletters.ActOptions) error) error {
	client, err := a.deadLetters(ctx)
	if err != nil {
		return err
	}
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(wanted),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(a.stderr) && !isTerminal(a.stdout)))
	all, other := 0, 0
	o.Who = whoami()
	o.Report = func(r deadletters.Result) {
		all++
		if r.Result != wanted {
			other++
		}
		_ = bar.Add(1)
		if a.json {
			_ = a.writeJSON(json.Marshal(r))
			return
		}
		mark := color.GreenString("%-9s", r.Result)
		if r.Result != wanted {
			mark = color.YellowString("%-9s", r.Result)
		}
		fmt.Fprintln(a.stdout, strings.TrimSpace(mark+" "+r.ID+"  "+events.OneLine(r.Why, 300)))
	}
	err = act(ctx, client, o)
	_ = bar.Finish()
	if err == nil && other > 0 {
		err = fmt.Errorf("%d of %s were not %s", other, counted(all, "event"), wanted)
	}
	return err
}

// whoami names the user and the machine, for the audit records.
func whoami() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

func (a *app) deadLettersAuditCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "audit",
		Short: "Show what was redriven and discarded, when, by whom and why",
		Long:  "Show each redrive and discard, oldest first. With --json one object a line, with the events that it acted on.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.deadLetters(c.Context())
			if err != nil {
				return err
			}
			actions, err := client.Audit(c.Context())
			if err != nil {
				return err
			}
			return a.printAudit(actions)
		},
	}
}

func (a *app) printAudit(actions []*deadletters.Action) error {
	rows := []string{"WHEN\tWHO\tACTION\tEVENTS\tRESULTS\tFILTER\tREASON"}
	for _, action := range actions {
		if a.json {
			if err := a.writeJSON(json.Marshal(action)); err != nil {
				return err
			}
			continue
		}
		results := make([]string, 0, len(action.Results))
		for _, name := range slices.Sorted(maps.Keys(action.Results)) {
			results = append(results, fmt.Sprintf("%d %s", action.Results[name], name))
		}
		if action.Ended.IsZero() {
			results = append(results, "not ended")
		}
		why := events.OneLine(action.Reason, 200)
		if action.Error != "" {
			why = events.OneLine(action.Error, 200)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s\t%s", action.At.Format(time.RFC3339),
			events.OneLine(action.Who, 60), action.Kind, action.Count, strings.Join(results, ", "), action.Filter, why))
	}
	if a.json {
		return nil
	}
	return printTable(a.stdout, rows...)
}
