package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/spf13/cobra"
)

func (a *app) tailCommand() *cobra.Command {
	var t tailing
	var brokers, since string
	var noFollow bool
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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one topic, for example " + topicNames()[0])
			}
			return nil
		},
		ValidArgs: tailTopics(),
		RunE: func(c *cobra.Command, args []string) error {
			t.topic, t.options.Follow, t.options.HasOffset = args[0], !noFollow, c.Flags().Changed("offset")
			if c.Flags().Changed("key") {
				key, _ := c.Flags().GetString("key")
				t.key = []byte(key)
			}
			if err := t.check(since); err != nil {
				return wrongUsage(c, err)
			}
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			if cluster, err = a.reach(c.Context(), cluster, kafka.Requirements{Read: args}); err != nil {
				if events.KindOf(err) == events.NotFound {
					err = fmt.Errorf("%w%s", err, didYouMean(args[0], tailTopics()))
				}
				return err
			}
			return a.tail(c.Context(), func(ctx context.Context, show func(bus.Record) error) error {
				t.options.Logger = a.logger
				return kafka.Tail(ctx, cluster, t.topic, t.options, show)
			}, t)
		},
	}
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	c.Flags().BoolVar(&t.options.FromStart, "from-start", false, "begin at the earliest record instead of the end")
	c.Flags().StringVar(&since, "since", "", "begin at a time (2026-11-27T08:00:00Z) or so long ago (90s, 2h)")
	c.Flags().Int64Var(&t.options.Offset, "offset", 0, "begin at this offset of --partition")
	c.Flags().Int32SliceVar(&t.options.Partitions, "partition", nil, "only these partitions")
	c.Flags().String("key", "", "only records with this key")
	c.Flags().BoolVar(&noFollow, "no-follow", false, "end after the records that exist now")
	c.Flags().BoolVar(&t.json, "json", false, "write one JSON object per record, including headers")
	c.Flags().IntVarP(&t.count, "count", "n", 0, "end after this many records (0: no limit)")
	return c
}

// tailing is what one run of tail shows.
type tailing struct {
	topic   string
	options kafka.TailOptions
	key     []byte // nil: any
	count   int    // 0: no limit
	json    bool
}

// check validates the flags and reads --since.
func (t *tailing) check(since string) error {
	o := &t.options
	switch {
	case t.count < 0:
		return errors.New("-n must not be negative")
	case o.HasOffset && (len(o.Partitions) != 1 || o.Offset < 0):
		return errors.New("--offset takes an offset, 0 or more, of one --partition")
	case o.HasOffset && (o.FromStart || since != "") || o.FromStart && since != "":
		return errors.New("--from-start, --since and --offset exclude each other")
	case since == "":
		return nil
	}
	if ago, err := time.ParseDuration(since); err == nil && ago >= 0 {
		o.Since = time.Now().Add(-ago)
		return nil
	}
	at, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return fmt.Errorf("--since: %q is neither a time such as 2026-11-27T08:00:00Z nor a duration such as 2h", since)
	}
	o.Since = at
	return nil
}

// tail shows what read calls its function with, until that is enough.
func (a *app) tail(ctx context.Context, read func(context.Context, func(bus.Record) error) error, t tailing) error {
	show, shown := a.showRecord, 0
	if t.json {
		show = a.showRecordJSON
	}
	enough := errors.New("enough")
	err := read(ctx, func(r bus.Record) error {
		if t.key != nil && !bytes.Equal(t.key, r.Key) {
			return nil
		}
		if err := show(r); err != nil {
			return err
		}
		if shown++; shown == t.count {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func tailTopics() (names []string) {
	for _, t := range topicNames() {
		names = append(names, t, bus.DeadLetterTopic(t))
	}
	return names
}

// Limits of a line of tail, in characters.
const (
	maxKeyShown    = 200
	maxReasonShown = 500
	maxValueShown  = 4000
)

func (a *app) showRecord(r bus.Record) error {
	columns := []string{
		strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Offset, 10),
		r.Timestamp.UTC().Format(time.RFC3339), printable(r.Key, maxKeyShown),
	}
	headers := map[string][]byte{} // the last of each key: a dead letter may be one of a dead letter
	for _, h := range r.Headers {
		headers[h.Key] = h.Value
	}
	if class, rejected := headers[bus.HeaderClass]; rejected {
		columns = append(columns, printable(class, maxKeyShown)+": "+printable(headers[bus.HeaderReason], maxReasonShown))
	}
	_, err := fmt.Fprintln(a.stdout, strings.Join(append(columns, printable(r.Value, maxValueShown)), "\t"))
	return err
}

// printable shows bytes of a record on one line. It quotes those that would move the cursor or forge a line.
func printable(b []byte, limit int) string {
	if b == nil {
		return "-"
	}
	text, cut := string(b[:min(len(b), limit*utf8.UTFMax)]), ""
	if runes := []rune(text); len(runes) > limit || len(text) < len(b) {
		text, cut = string(runes[:min(limit, len(runes))]), fmt.Sprintf("… (%d bytes)", len(b))
	}
	unsafe := func(c rune) bool {
		return c == utf8.RuneError || unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	}
	if strings.ContainsFunc(text, unsafe) {
		text = strconv.Quote(text)
	}
	return text + cut
}

type recordJSON struct {
	Topic     string              `json:"topic"`
	Partition int32               `json:"partition"`
	Offset    int64               `json:"offset"`
	Timestamp string              `json:"timestamp"` // RFC 3339; the year may have more than four digits
	Key       *string             `json:"key"`
	Value     any                 `json:"value"` // the JSON where it is JSON, otherwise text; null for a tombstone
	Headers   map[string][]string `json:"headers,omitempty"`
}

func (a *app) showRecordJSON(r bus.Record) error {
	out := recordJSON{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(time.RFC3339Nano),
	}
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
	return a.writeJSON(out, "")
}

// writeJSON writes a value for scripts, with nothing in it that a terminal obeys.
func (a *app) writeJSON(value any, indent string) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := a.stdout.Write(events.EscapeControls(out.Bytes()))
	return err
}

// didYouMean names what shares the longest beginning with a mistyped name, as a hint.
func didYouMean(typed string, names []string) string {
	if typed == "" || slices.Contains(names, typed) {
		return ""
	}
	best, longest := "", 2 // fewer letters in common are chance
	for _, name := range names {
		n := 0
		for n < min(len(name), len(typed)) && name[n] == typed[n] {
			n++
		}
		if n > longest {
			best, longest = name, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}
