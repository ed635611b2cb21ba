package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/spf13/cobra"
)

func (a *app) tailCommand() *cobra.Command {
	var o kafka.TailOptions
	var since, key string
	var noFollow bool
	var count int
	c := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Show the records of a topic as they arrive",
		Long: "Show the records of a topic, one per line: partition, offset, time, key, value; a dead letter's class and\n" +
			"reason before its value. Long values are cut: --json shows all of a record. tail joins no consumer group,\n" +
			"so it affects no consumer.",
		Example: "  sipeat tail contact-created\n" +
			"  sipeat tail request-created --since 2h --key 0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d\n" +
			"  sipeat tail request-created --partition 2 --offset 1200 -n 5\n" +
			"  sipeat tail request-created --from-start --no-follow --json | jq .value.data.city\n" +
			"  sipeat tail contact-created.dead-letters --from-start -n 10",
		Args:      cobra.ExactArgs(1),
		ValidArgs: tailTopics(),
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Follow, o.HasOffset, o.Logger = !noFollow, c.Flags().Changed("offset"), a.logger
			if o.HasOffset && (len(o.Partitions) != 1 || o.Offset < 0) || count < 0 {
				return usageError{errors.New("--offset takes an offset, 0 or more, of one --partition; -n takes 0 or more")}
			}
			if since != "" {
				if o.Since, err = parseSince(since, time.Now()); err != nil {
					return usageError{err}
				}
			}
			err = a.reach(c.Context(), kafka.Requirements{Read: args})
			if events.KindOf(err) == events.NotFound {
				return fmt.Errorf("%w; topics of SipEat: %s", err, strings.Join(tailTopics(), ", "))
			}
			if err != nil {
				return err
			}
			return a.tail(c.Context(), key, count, func(ctx context.Context, show func(bus.Record) error) error {
				return kafka.Tail(ctx, a.cluster, args[0], o, show)
			})
		},
	}
	c.Flags().BoolVar(&o.FromStart, "from-start", false, "begin at the earliest record instead of the end")
	c.Flags().StringVar(&since, "since", "", "begin at a time (2026-11-27T08:00:00Z) or so long ago (90s, 2h)")
	c.Flags().Int64Var(&o.Offset, "offset", 0, "begin at this offset of --partition")
	c.Flags().Int32SliceVar(&o.Partitions, "partition", nil, "only these partitions")
	c.Flags().StringVar(&key, "key", "", "only records with this key")
	c.Flags().BoolVar(&noFollow, "no-follow", false, "end after the records that exist now")
	c.Flags().IntVarP(&count, "count", "n", 0, "end after this many records (0: no limit)")
	c.MarkFlagsMutuallyExclusive("from-start", "since", "offset")
	a.addJSONFlag(c)
	addFlags(c, "brokers")
	return c
}

func tailTopics() (names []string) {
	for _, t := range topicNames() {
		names = append(names, t, bus.DeadLetterTopic(t))
	}
	return names
}

func parseSince(since string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(since); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return at, fmt.Errorf("--since: %q is neither a time such as 2026-11-27T08:00:00Z nor a duration such as 2h", since)
	}
	return at, nil
}

// tail shows the records that read passes on, those with the key unless it is "", until count are shown unless it is 0.
func (a *app) tail(ctx context.Context, key string, count int,
	read func(context.Context, func(bus.Record) error) error) error {
	show, shown := a.showRecord, 0
	if a.json {
		show = a.showRecordJSON
	}
	enough := errors.New("enough")
	err := read(ctx, func(r bus.Record) error {
		if key != "" && key != string(r.Key) {
			return nil
		}
		if err := show(r); err != nil {
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
}

// Limits of a line of tail, in characters.
const (
	maxKeyShown    = 200
	maxReasonShown = 500
	maxValueShown  = 4000
)

func (a *app) showRecord(r bus.Record) error {
	reason := ""
	headers := map[string][]byte{} // the last of each key: a dead letter may be one of a dead letter
	for _, h := range r.Headers {
		headers[h.Key] = h.Value
	}
	if class, rejected := headers[bus.HeaderClass]; rejected {
		reason = printable(class, maxKeyShown) + ": " + printable(headers[bus.HeaderReason], maxReasonShown) + "\t"
	}
	_, err := fmt.Fprintf(a.stdout, "%d\t%d\t%s\t%s\t%s%s\n", r.Partition, r.Offset, r.Timestamp.UTC().Format(time.RFC3339),
		printable(r.Key, maxKeyShown), reason, printable(r.Value, maxValueShown))
	return err
}

func (a *app) showRecordJSON(r bus.Record) error {
	out := struct {
		Topic     string              `json:"topic"`
		Partition int32               `json:"partition"`
		Offset    int64               `json:"offset"`
		Timestamp string              `json:"timestamp"` // RFC 3339; the year may have more than four digits
		Key       *string             `json:"key"`
		Value     any                 `json:"value"` // the JSON where it is JSON, otherwise text; null for a tombstone
		Headers   map[string][]string `json:"headers,omitempty"`
	}{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(time.RFC3339Nano),
		Headers: map[string][]string{},
	}
	if r.Key != nil {
		out.Key = new(string(r.Key))
	}
	switch {
	case r.Value == nil:
	case json.Valid(r.Value):
		out.Value = json.RawMessage(r.Value)
	default:
		out.Value = string(r.Value)
	}
	for _, h := range r.Headers {
		out.Headers[h.Key] = append(out.Headers[h.Key], string(h.Value))
	}
	return a.writeJSON(out, "")
}
