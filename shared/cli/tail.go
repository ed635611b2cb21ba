package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/spf13/cobra"
)

func (a *app) tailCommand() *cobra.Command {
	var o kafka.TailOptions
	var from kafka.Point
	var since time.Duration
	var key string
	var fromStart, noFollow bool
	var count int
	c := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Show the records of a topic as they arrive",
		Long: "Show the records of a topic, one per line: partition, offset, time, key, value; a dead letter's class and\n" +
			"reason before its value. Long values are cut: --json shows all of a record. tail joins no consumer group,\n" +
			"so it affects no consumer.",
		Example: "  sipeat tail contact-created\n" +
			"  sipeat tail request-created --since 2h --key 0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d\n" +
			"  sipeat tail contact-created.dead-letters --from-start -n 10",
		Args:      cobra.ExactArgs(1),
		ValidArgs: tailTopics(),
		RunE: func(c *cobra.Command, args []string) error {
			o.Follow, o.Logger = !noFollow, a.logger
			hasOffset := c.Flags().Changed("offset")
			if hasOffset && (len(o.Partitions) != 1 || from.Offset < 0) || count < 0 || since < 0 {
				return usageError{errors.New("--offset takes an offset, 0 or more, of one --partition; -n and --since take 0 or more")}
			}
			if since > 0 {
				from.Time = time.Now().Add(-since)
			}
			if fromStart || hasOffset || since > 0 {
				o.From = &from
			}
			err := a.reach(c.Context(), kafka.Requirements{Read: args})
			if events.KindOf(err) == events.NotFound {
				return fmt.Errorf("%w; topics of SipEat: %s", err, strings.Join(tailTopics(), ", "))
			}
			if err != nil {
				return err
			}
			enough, shown := errors.New("enough"), 0
			err = kafka.Tail(c.Context(), a.cluster, args[0], o, func(r bus.Record) error {
				if key != "" && key != string(r.Key) {
					return nil
				}
				if err := a.showRecord(r); err != nil {
					return err
				}
				if shown++; shown == count {
					return enough
				}
				return nil
			})
			if errors.Is(err, enough) || errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	c.Flags().BoolVar(&fromStart, "from-start", false, "begin at the earliest record instead of the end")
	c.Flags().DurationVar(&since, "since", 0, "begin with the records of the last 90s, 2h ...")
	c.Flags().Int64Var(&from.Offset, "offset", 0, "begin at this offset of --partition")
	c.Flags().Int32SliceVar(&o.Partitions, "partition", nil, "only these partitions")
	c.Flags().StringVar(&key, "key", "", "only records with this key")
	c.Flags().BoolVar(&noFollow, "no-follow", false, "end after the records that exist now")
	c.Flags().IntVarP(&count, "count", "n", 0, "end after this many records (0: no limit)")
	c.MarkFlagsMutuallyExclusive("from-start", "since", "offset")
	return a.withFlags(c, "json", "brokers")
}

func tailTopics() (names []string) {
	for _, t := range topicNames() {
		names = append(names, t, bus.DeadLetterTopic(t))
	}
	return names
}

func (a *app) showRecord(r bus.Record) error {
	if a.json {
		return a.showRecordJSON(r)
	}
	reason := ""
	if class := r.Header(bus.HeaderClass); class != nil {
		reason = printable(class) + ": " + printable(r.Header(bus.HeaderReason)) + "\t"
	}
	_, err := fmt.Fprintf(a.stdout, "%d\t%d\t%s\t%s\t%s%s\n", r.Partition, r.Offset, r.Timestamp.UTC().Format(time.RFC3339),
		printable(r.Key), reason, printable(r.Value))
	return err
}

// showRecordJSON shows the value as the JSON that it is, otherwise as text; null is a tombstone.
func (a *app) showRecordJSON(r bus.Record) error {
	out := map[string]any{
		"topic": r.Topic, "partition": r.Partition, "offset": r.Offset, "key": text(r.Key), "value": text(r.Value),
		"headers": headers(r), "timestamp": r.Timestamp.UTC().Format(time.RFC3339Nano), // the year may have more than four digits
	}
	value := jsontext.Value(r.Value)
	if _, err := json.Marshal([]jsontext.Value{value}); err == nil { // not too deep to be within an object, either
		out["value"] = value
	}
	return a.writeJSON(out)
}
