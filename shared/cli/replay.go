package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"
)

type replay struct {
	*app
	consumer, topic, from, to, key string
	partition                      int32
	rejected                       atomic.Int64
	logging                        rate.Sometimes // of what is rejected
}

func (a *app) replayCommand() *cobra.Command {
	r := &replay{app: a, logging: rate.Sometimes{First: 10}}
	c := &cobra.Command{
		Use:   "replay --consumer GROUP",
		Short: "Project a part of a topic into the read model again",
		Long: "Project a part of a topic into the read model of STORE again, while traffic continues: events that it holds change\n" +
			"nothing, those that it lacks are added. Replay sends no notifications, publishes nothing, joins no consumer group\n" +
			"and commits nothing. It does not change items: after a change of the projections use `sipeat rebuild`.\n\n" +
			"--from and --to take an offset or a time; --to is not included. Events that the projection rejects are counted,\n" +
			"and the first ten are logged: `sipeat dead-letters list` has them all.\n\n" + kafkaHelp,
		Example: "  sipeat replay --consumer sipeat-contact-consumer --from 2026-11-27T08:00:00Z\n" +
			"  sipeat replay --consumer sipeat-request-consumer --partition 2 --from 1200 --to 1300\n" +
			"  sipeat replay --consumer sipeat-contact-consumer --key 0198f1c2-7d3a-7b1e-9c55-0d6f3a1b2c4d",
		RunE: func(c *cobra.Command, _ []string) error { return r.run(c.Context()) },
	}
	groups := slices.Sorted(maps.Keys(topicsOfGroups()))
	c.Flags().StringVar(&r.consumer, "consumer", "", "consumer `group` whose projection runs: "+strings.Join(groups, ", "))
	c.Flags().StringVar(&r.topic, "topic", "", "its `topic` (default the one that the group reads)")
	c.Flags().StringVar(&r.from, "from", "0", "first `offset or time`, such as 2026-11-27T08:00:00Z")
	c.Flags().StringVar(&r.to, "to", "", "`offset or time` to end before (default the end)")
	c.Flags().Int32Var(&r.partition, "partition", allPartitions, "only this `partition` (-1: all)")
	c.Flags().StringVar(&r.key, "key", "", "only events with this `key`, the id of their subject")
	_ = c.MarkFlagRequired("consumer")
	return a.withFlags(c, "brokers")
}

const allPartitions = -1

func (r *replay) run(ctx context.Context) error {
	at := slices.IndexFunc(allConsumers(), func(f consumers.Function) bool { return f.Replay.Group == r.consumer })
	if at < 0 {
		return usageError{fmt.Errorf("--consumer: there is no consumer group %q; see --help", r.consumer)}
	}
	if reads := allConsumers()[at].Replay.Topic; r.topic != "" && r.topic != reads {
		return usageError{fmt.Errorf("--topic: %s reads %s", r.consumer, reads)}
	}
	from, fromErr := parsePoint("--from", r.from)
	to, toErr := parsePoint("--to", r.to)
	if err := errors.Join(fromErr, toErr); err != nil {
		return usageError{err}
	}
	if r.to != "" && from.Time.IsZero() == to.Time.IsZero() && (from.Offset > to.Offset || from.Time.After(to.Time)) {
		return usageError{errors.New("--from is behind --to")}
	}
	consumer := allConsumers()[at].Replay
	if err := r.reach(ctx, kafka.Requirements{Read: []string{consumer.Topic}}); err != nil {
		return err
	}
	model, err := r.consumersModel(ctx)
	if err != nil {
		return err
	}
	if err := consumers.Projected(model).Check(ctx); err != nil {
		return err
	}
	consumer = projections(model)[at].Replay
	o := kafka.ReplayOptions{Logger: r.logger, DeadLetters: r, Only: r.selects,
		Advance: func(context.Context, string, map[int32]int64, map[int32]int64) error { return nil }}
	if o.From, err = kafka.Offsets(ctx, r.cluster, consumer.Topic, from); err != nil {
		return err
	}
	if _, exists := o.From[r.partition]; r.partition != allPartitions && !exists {
		return usageError{fmt.Errorf("--partition: topic %s has the partitions 0 to %d", consumer.Topic, len(o.From)-1)}
	}
	for n := range o.From {
		if r.partition != allPartitions && r.partition != n {
			o.From[n] = math.MaxInt64 // nothing of it
		}
	}
	if r.to != "" {
		if o.Until, err = kafka.Offsets(ctx, r.cluster, consumer.Topic, to); err != nil {
			return err
		}
	}
	var handled atomic.Int64
	o.Delivery.Report = func(report bus.Report) {
		if report.Outcome == bus.Done {
			handled.Add(1)
		}
		r.logOutage(report)
	}
	progress := r.newProgress()
	o.Progress = func(handled, all int64) { progress.add(consumer.Topic, handled, all) }
	err = kafka.Replay(ctx, r.cluster, consumer, o)
	_ = progress.bar.Finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "Projected %s of %s again; %d rejected.\n", counted(int(handled.Load()), "event"), consumer.Topic,
		r.rejected.Load())
	return nil
}

func (r *replay) selects(record bus.Record) bool {
	key := string(record.Key)
	if r.key != "" && record.Key == nil {
		_, key = record.Identify()
	}
	return r.key == "" || r.key == key
}

// Write logs and counts what the projection rejects: the workers have written it to the dead-letter topic already.
func (r *replay) Write(_ context.Context, l bus.DeadLetter) error {
	r.rejected.Add(1)
	r.logging.Do(func() {
		r.logger.Warn("rejected", "topic", l.Record.Topic, "partition", l.Record.Partition, "offset", l.Record.Offset,
			"class", l.Class, "reason", l.Reason)
	})
	return nil
}

// parsePoint reads an offset or a time; "" is the beginning.
func parsePoint(flag, text string) (p kafka.Point, err error) {
	if text == "" {
		return p, nil
	}
	if p.Offset, err = strconv.ParseInt(text, 10, 64); err == nil && p.Offset >= 0 {
		return p, nil
	}
	if p.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return p, errors.New(flag + " takes an offset, or a time such as 2026-11-27T08:00:00Z")
	}
	return p, nil
}
