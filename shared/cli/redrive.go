package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/spf13/cobra"
)

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
