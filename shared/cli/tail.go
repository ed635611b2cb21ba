package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/spf13/cobra"
)

func (a *app) tailCommand() *cobra.Command {
	var brokers string
	var fromStart, asJSON, noFollow bool
	var count int
	c := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Show the records of a topic as they come",
		Long: "Show the records of a topic as they come, one line each: partition, offset, time, key, value.\n" +
			"It belongs to no consumer group, so it takes nothing away from anybody.",
		Example: "  sipeat tail contact-created\n" +
			"  sipeat tail request-created --from-start --no-follow --json | jq .value.data.city\n" +
			"  sipeat tail contact-created.dead-letters --from-start -n 10",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name one topic, such as %s", strings.Join(topicNames(), ", "))
			}
			return nil
		},
		ValidArgsFunction: completeTopics,
		RunE: func(c *cobra.Command, args []string) error {
			if count < 0 {
				return wrongUsage(c, fmt.Errorf("-n must not be negative"))
			}
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			if cluster, err = a.reach(c.Context(), cluster, kafka.Needs{Read: args}); err != nil {
				return err
			}
			show := a.showRecord
			if asJSON {
				show = a.showRecordJSON
			}
			ctx, enough := context.WithCancel(c.Context())
			defer enough()
			shown := 0
			err = kafka.Tail(ctx, cluster, args[0], kafka.TailOptions{FromStart: fromStart, Follow: !noFollow, Logger: a.logger}, func(r bus.Record) error {
				if err := show(r); err != nil {
					return err
				}
				if shown++; shown == count {
					enough()
					return context.Canceled
				}
				return nil
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	c.Flags().BoolVar(&fromStart, "from-start", false, "begin at the earliest record instead of the end")
	c.Flags().BoolVar(&noFollow, "no-follow", false, "end at the records that are there now")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object per record, headers too")
	c.Flags().IntVarP(&count, "count", "n", 0, "end after so many records (0: go on)")
	return c
}

func completeTopics(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, t := range topicNames() {
		names = append(names, t, bus.DeadLetterTopic(t))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) showRecord(r bus.Record) error {
	_, err := fmt.Fprintf(a.stdout, "%d\t%d\t%s\t%s\t%s\n",
		r.Partition, r.Offset, r.Timestamp.UTC().Format(time.RFC3339), printable(r.Key), printable(r.Value))
	return err
}

// printable keeps a record from moving the cursor or forging a line.
func printable(b []byte) string {
	if b == nil {
		return "-"
	}
	for _, c := range string(b) {
		if c == utf8.RuneError || unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return fmt.Sprintf("%q", b)
		}
	}
	return string(b)
}

type recordJSON struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Timestamp string  `json:"timestamp"` // RFC 3339, but that its year is as large as the producer's clock has it
	Key       *string `json:"key"`
	Value     any     `json:"value"` // the JSON where it is JSON, otherwise the text; null for a tombstone
	// Headers has each key's values in order: a dead letter that was sent again and rejected again says twice why.
	Headers map[string][]string `json:"headers,omitempty"`
}

func (a *app) showRecordJSON(r bus.Record) error {
	out := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(time.RFC3339Nano)}
	if r.Key != nil {
		key := string(r.Key)
		out.Key = &key
	}
	switch {
	case r.Value == nil:
	case json.Valid(r.Value):
		out.Value = json.RawMessage(r.Value)
	default:
		out.Value = string(r.Value)
	}
	for _, h := range r.Headers {
		if out.Headers == nil {
			out.Headers = map[string][]string{}
		}
		out.Headers[h.Key] = append(out.Headers[h.Key], string(h.Value))
	}
	return json.NewEncoder(a.stdout).Encode(out)
}
