package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

func (a *app) publishCommand() *cobra.Command {
	var brokers, key string
	c := &cobra.Command{
		Use:   "publish TYPE",
		Short: "Publish events from JSON lines on standard input",
		Long: "Publish events of a type. Each line on standard input is the payload of one: a JSON object with\n" +
			"the fields of the type; id and timestamp are filled in where a line has none. Lines are checked\n" +
			"as strictly as API calls. A line that is not acceptable is named, with the reason, and left out;\n" +
			"the others are published in their order, and the exit status is 1.\n\n" +
			"With --idempotency-key the same lines under the same key are the same events, so that what was\n" +
			"ended half-way can be run again.\n\nTypes: " + strings.Join(topicNames(), ", "),
		Example: "  sipeat publish contact-created < contacts.jsonl\n" +
			"  sipeat publish request-created --brokers kafka1:9092,kafka2:9092 --idempotency-key import-7 < requests.jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains(topicNames(), args[0]) {
				return nil
			}
			return fmt.Errorf("%q is not one type of events, which are %s", strings.Join(args, " "), strings.Join(topicNames(), ", "))
		},
		ValidArgs: topicNames(),
		RunE: func(c *cobra.Command, args []string) error {
			definition, _ := events.Lookup(args[0])
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			return a.publish(c.Context(), cluster, definition, key)
		},
	}
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	c.Flags().StringVar(&key, "idempotency-key", "", "make the same lines the same events when run again")
	return c
}

func topicNames() []string {
	var names []string
	for _, d := range events.Catalogue() {
		names = append(names, d.Topic)
	}
	return names
}

func (a *app) publish(ctx context.Context, cluster settings.Kafka, d events.Definition, key string) error {
	cluster, err := a.reach(ctx, cluster, kafka.Needs{Write: []string{d.Topic}})
	if err != nil {
		return err
	}
	publisher, err := kafka.NewPublisher(cluster, a.logger)
	if err != nil {
		return err
	}
	defer func() {
		// Every line that was sent was waited for. Where that was in vain, waiting longer would be too.
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = publisher.Close(now)
	}()
	if f, ok := a.stdin.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		fmt.Fprintf(a.stderr, "Type one JSON object a line; Ctrl-D ends.\n")
	}
	p := &publishing{app: a, definition: d, key: key, bar: a.progress("published")}
	err = p.run(ctx, publisher)
	_ = p.bar.Clear() // it only draws
	fmt.Fprintf(a.stderr, "published %d, refused %d\n", p.published, p.refused)
	if err == nil && p.refused > 0 {
		others := "; the others are published"
		if p.published == 0 {
			others = ""
		}
		err = fmt.Errorf("%d of %d lines were refused%s", p.refused, p.published+p.refused, others)
	}
	return err
}

// progress shows how far it is on a terminal, and nothing elsewhere.
func (a *app) progress(what string) *progressbar.ProgressBar {
	f, ok := a.stderr.(*os.File)
	return progressbar.NewOptions64(-1, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetVisibility(ok && isatty.IsTerminal(f.Fd())))
}
