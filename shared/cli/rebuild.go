package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

type rebuild struct {
	*app
	file, table, data string // where it is built: one of them
	other             string // what it is compared with
	once              bool

	progress *progress
	rejected atomic.Int64
}

func (a *app) rebuildCommand() *cobra.Command {
	r := &rebuild{app: a}
	c := &cobra.Command{
		Use:   "rebuild (--store FILE | --table NAME | --data DIR)",
		Short: "Build another read model from the topics, while traffic continues",
		Long: "Build another read model from the beginning of the topics, while traffic continues. It sends no\n" +
			"notifications, joins no consumer group and commits nothing. It prints how to switch to the new read model and how\n" +
			"to go back, and follows new events: switch, then end it with Ctrl-C. An interrupted run continues the next time.\n\n" +
			"--data rebuilds the read model of `sipeat serve`, which must be stopped. Use it when /readyz or `sipeat doctor`\n" +
			"says that the read model is behind the group's commits (it was deleted, restored or replaced), when it is damaged,\n" +
			"and when it is of an older version.\n\n" + kafkaHelp,
		Example: "  sipeat rebuild --data .sipeat\n" +
			"  sipeat rebuild --store read-model-2.db --once\n" +
			"  sipeat rebuild --table sipeat-2 --compare sipeat",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return usageError{err}
			}
			return r.run(c.Context())
		},
	}
	c.Flags().StringVar(&r.file, "store", "", "build this SQLite `file`")
	c.Flags().StringVar(&r.table, "table", "", "build this DynamoDB `table`")
	c.Flags().StringVar(&r.data, "data", "", "rebuild the read model in this `folder`, the data of sipeat serve")
	c.Flags().BoolVar(&r.once, "once", false, "end when the events that exist at the start are handled")
	c.Flags().StringVar(&r.other, "compare", "",
		"then compare with this `file or table`, list the differences and end, with status 1 if there are any")
	c.MarkFlagsMutuallyExclusive("store", "table", "data")
	c.MarkFlagsOneRequired("store", "table", "data")
	c.MarkFlagsMutuallyExclusive("compare", "data")
	return a.withFlags(c, "brokers")
}

// check refuses to write to a store that is in use.
func (r *rebuild) check() error {
	_, noData := os.Stat(brokerFolder(r.data))
	_, noOther := os.Stat(r.other)
	path := func(file string) string { absolute, _ := filepath.Abs(file); return absolute }
	switch {
	case r.data != "" && noData != nil:
		return fmt.Errorf("--data: there is no data of `sipeat serve` in %s: %w", r.data, noData)
	case strings.EqualFold(r.file, settings.DynamoDB): // as STORE it would be no file
		return errors.New("--store: must be a file; --table builds a table of DynamoDB")
	case r.file != "" && r.other != "" && noOther != nil: // to open it would create it
		return fmt.Errorf("--compare: %w", noOther)
	case r.table != "" && (r.settings.Store == settings.DynamoDB && r.table == r.settings.Table || r.table == r.other),
		r.file != "" && (path(r.file) == path(r.settings.Store) || path(r.file) == path(r.other)):
		return fmt.Errorf("%s is in use (STORE, TABLE_NAME) or compared with: build another file or table", r.name())
	}
	return nil
}

func (r *rebuild) run(ctx context.Context) error {
	if r.data != "" {
		r.file, r.once = readModel(r.data)+".new", true
		if err := r.openBroker(ctx, r.data, "127.0.0.1:0"); err != nil {
			return err
		}
		if err := sqlite.Remove(r.file); err != nil { // of a run that was interrupted
			return err
		}
	} else if err := r.reach(ctx, kafka.Requirements{Read: topicNames()}); err != nil {
		return err
	}
	model, err := r.openNamed(ctx, r.name())
	if err != nil {
		return err
	}
	if err := errors.Join(r.build(ctx, model), model.Close()); err != nil || r.data == "" {
		return err
	}
	if err := sqlite.Replace(ctx, r.file, readModel(r.data)); err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "It has replaced %s. Start `sipeat serve` again.\n", readModel(r.data))
	return nil
}

func (r *rebuild) name() string { return cmp.Or(r.file, r.table) }

// openNamed opens a read model of the kind that is built.
func (r *rebuild) openNamed(ctx context.Context, name string) (store.Store, error) {
	if r.table != "" {
		return r.openTable(ctx, name)
	}
	return sqlite.Open(ctx, name)
}

// build builds the model from the events that exist now. Then it follows new ones until ctx is done or the comparison ends.
func (r *rebuild) build(ctx context.Context, model store.Store) error {
	r.progress = r.newProgress()
	err := r.replay(ctx, model, false)
	_ = r.progress.bar.Finish()
	handled, all := r.progress.total()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted at %d of %d events", handled, all)
	}
	if err != nil {
		return err
	}
	took := time.Since(r.progress.began)
	fmt.Fprintf(r.stdout, "Built %s from %s in %s (%.0f/s), %d of them rejected.\n", r.name(), counted(int(handled), "event"),
		took.Round(time.Millisecond), float64(handled)/took.Seconds(), r.rejected.Load())
	if r.once {
		return r.finish(ctx, model)
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	var follower errgroup.Group
	follower.Go(func() error { return r.replay(following, model, true) })
	if err = r.finish(ctx, model); err != nil || r.other != "" {
		stop()
	} else {
		fmt.Fprintln(r.stdout, "Following new events. Ctrl-C stops it.")
	}
	if failed := follower.Wait(); !errors.Is(failed, context.Canceled) {
		err = errors.Join(err, failed)
	}
	return err
}

// replay passes the events that the model does not hold to the consumers' projections, all topics at the same time. With
// follow, it continues with new ones until ctx is done.
func (r *rebuild) replay(ctx context.Context, model store.Store, follow bool) error {
	err := consumers.Projected(model).Check(ctx)
	if err != nil {
		return err
	}
	marks, err := model.Marks(ctx)
	if err != nil {
		return err
	}
	replays, ctx := errgroup.WithContext(ctx)
	for _, f := range projections(model) {
		topic := f.Replay.Topic
		o := kafka.ReplayOptions{From: marks.Held(topic), Logger: r.logger, Advance: model.Advance, DeadLetters: r,
			Delivery: bus.Options{Report: r.logOutage, MaxBuffered: 1024, MaxBufferedBytes: 4 << 20},
			Follow:   follow, Progress: func(handled, all int64) { r.progress.add(topic, handled, all) }}
		if follow {
			o.Progress = func(int64, int64) {}
		}
		replays.Go(func() error { return kafka.Replay(ctx, r.cluster, f.Replay, o) })
	}
	return replays.Wait()
}

func projections(model store.Store) []consumers.Function {
	return consumers.Consumers{Store: consumers.Projected(model)}.Functions()
}

// Write counts what the projection rejects: the workers have written it to the dead-letter topic already.
func (r *rebuild) Write(context.Context, bus.DeadLetter) error {
	r.rejected.Add(1)
	return nil
}

func (a *app) logOutage(report bus.Report) {
	if report.Outcome != bus.Done && report.Outcome != bus.Rejected {
		a.outage.Do(func() { a.logger.Warn("events wait for the read model", "error", report.Err) })
	}
}

// progress shows how many events of topics are handled: by a bar on a terminal, in the log elsewhere.
type progress struct {
	*app
	began   time.Time
	bar     *progressbar.ProgressBar
	mu      sync.Mutex
	topics  map[string][2]int64 // how many events are handled, of how many
	logging rate.Sometimes
}

func (a *app) newProgress() *progress {
	p := &progress{app: a, began: time.Now(), bar: a.newBar(1, "events"), topics: map[string][2]int64{},
		logging: rate.Sometimes{Interval: 10 * time.Second}}
	p.logging.Do(func() {}) // not at the start, when nothing is known yet
	return p
}

func (p *progress) add(topic string, handled, all int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics[topic] = [2]int64{min(handled, all), all}
	handled, all = p.total()
	p.bar.ChangeMax64(all + 1) // or it ends by itself
	_ = p.bar.Set64(handled)
	if isTerminal(p.stderr) {
		return
	}
	p.logging.Do(func() {
		perSecond := float64(handled) / time.Since(p.began).Seconds()
		left := time.Duration(float64(all-handled) / max(perSecond, 0.01) * float64(time.Second)).Round(time.Second)
		p.logger.Info("projecting", "handled", handled, "of", all, "per_second", int(perSecond), "left", left.String())
	})
}

func (p *progress) total() (handled, all int64) {
	for _, t := range p.topics {
		handled, all = handled+t[0], all+t[1]
	}
	return handled, all
}

// finish compares the model, if it is to be, and prints how to switch to it.
func (r *rebuild) finish(ctx context.Context, model store.Store) error {
	if r.other != "" {
		other, err := r.openNamed(ctx, r.other)
		if err != nil {
			return err
		}
		defer other.Close()
		differences, err := store.Differences(ctx, model, other, topicNames(), r.name(), r.other)
		if err != nil {
			return err
		}
		for _, d := range differences {
			fmt.Fprintln(r.stdout, d)
		}
		if len(differences) > 0 {
			return fmt.Errorf("the read models differ: %s", counted(len(differences), "difference"))
		}
		fmt.Fprintf(r.stdout, "It holds the same as %s.\n", r.other)
	}
	if r.data == "" {
		fmt.Fprintln(r.stdout, r.switching(r.file, r.table))
	}
	return nil
}

// switching is how to use another read model, a file or a table, instead of that of the settings.
func (a *app) switching(file, table string) string {
	to, back := "TABLE_NAME="+table, "TABLE_NAME="+a.settings.Table
	switch {
	case table != "" && a.settings.Store != settings.DynamoDB:
		to, back = "STORE=dynamodb and "+to, "STORE="+word(a.settings.Store)
	case file != "":
		to, back = "STORE="+word(file), "STORE="+word(a.settings.Store)
		if a.settings.ClaimsFile == "" && a.settings.Store != settings.DynamoDB { // beside it by default, where they stay
			to += " and CLAIMS_FILE=" + word(claimsFile(a.settings.Store))
		}
	}
	return fmt.Sprintf("To switch, set %s and restart the API and the workers (on AWS: deploy with UseSecondTable=true or "+
		"false). To go back, set %s.", to, back)
}

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
	consumer := allConsumers()[at].Replay
	if r.topic != "" && r.topic != consumer.Topic {
		return usageError{fmt.Errorf("--topic: %s reads %s", r.consumer, consumer.Topic)}
	}
	from, fromErr := parsePoint("--from", r.from, 0)
	to, toErr := parsePoint("--to", r.to, math.MaxInt64)
	if err := errors.Join(fromErr, toErr); err != nil {
		return usageError{err}
	}
	if from.Time.IsZero() == to.Time.IsZero() && (from.Offset > to.Offset || from.Time.After(to.Time)) {
		return usageError{errors.New("--from is behind --to")}
	}
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
	o.From, fromErr = kafka.Offsets(ctx, r.cluster, consumer.Topic, from)
	o.Until, toErr = kafka.Offsets(ctx, r.cluster, consumer.Topic, to)
	if err := cmp.Or(fromErr, toErr); err != nil {
		return err
	}
	if _, exists := o.From[r.partition]; r.partition != allPartitions && !exists {
		return usageError{fmt.Errorf("--partition: topic %s has the partitions 0 to %d", consumer.Topic, len(o.From)-1)}
	}
	for n := range o.From {
		if r.partition != allPartitions && r.partition != n {
			o.From[n] = o.Until[n] // nothing of it
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
	if r.key != "" && len(record.Key) == 0 {
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

// parsePoint reads an offset or a time; "" is the offset absent.
func parsePoint(flag, text string, absent int64) (p kafka.Point, err error) {
	if text == "" {
		return kafka.Point{Offset: absent}, nil
	}
	if p.Offset, err = strconv.ParseInt(text, 10, 64); err == nil && p.Offset >= 0 {
		return p, nil
	}
	if p.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return p, errors.New(flag + " takes an offset, or a time such as 2026-11-27T08:00:00Z")
	}
	return p, nil
}
