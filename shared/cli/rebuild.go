package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// rebuild is the building of a read model from the topics.
type rebuild struct {
	*parts
	file, table, data string // where it is built: one of them
	other             string // what it is compared with
	once              bool

	model store.Store
	bar   *progressbar.ProgressBar
	began time.Time

	mu             sync.Mutex
	handled, all   int64
	ended          bool // the bar
	rejected       int
	logged, warned time.Time
}

func (a *app) rebuildCommand() *cobra.Command {
	r := &rebuild{}
	c := &cobra.Command{
		Use:   "rebuild (--store FILE | --table NAME | --data DIR)",
		Short: "Build another read model from the topics, while traffic continues",
		Long: "Build another read model from the beginning of the topics, while traffic continues. It sends no\n" +
			"notifications, joins no consumer group and commits nothing. Once it has caught up it prints how to switch to\n" +
			"the new read model and how to go back, and keeps following new events until it is interrupted: switch while it\n" +
			"runs, then end it. If it is interrupted before that, the same command continues.\n\n" +
			"--data rebuilds the read model of `sipeat serve`, which must be stopped: a new file takes the place of the old\n" +
			"one at the end. Use it when /readyz or `sipeat doctor` says that the read model is behind the group's commits\n" +
			"(it was deleted, restored or replaced), when it is damaged, and when it is of an older version.\n\n" +
			kafkaHelp,
		Example: "  sipeat rebuild --data .sipeat\n" +
			"  sipeat rebuild --store /var/lib/sipeat/read-model-2.db\n" +
			"  sipeat rebuild --table sipeat-2 --compare sipeat",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			r.parts = a.newParts()
			if err := r.check(); err != nil {
				return usageError{err}
			}
			defer func() { err = errors.Join(err, r.close()) }()
			return r.run(c.Context())
		},
	}
	c.Flags().StringVar(&r.file, "store", "", "build a SQLite file")
	c.Flags().StringVar(&r.table, "table", "", "build a DynamoDB table")
	c.Flags().StringVar(&r.data, "data", "", "rebuild the read model in this folder of `sipeat serve`")
	c.Flags().BoolVar(&r.once, "once", false, "end at the events that were there at the start")
	c.Flags().StringVar(&r.other, "compare", "",
		"then compare with this file or table, list the differences and end, with status 1 if there are any")
	c.MarkFlagsMutuallyExclusive("store", "table", "data")
	c.MarkFlagsOneRequired("store", "table", "data")
	c.MarkFlagsMutuallyExclusive("compare", "data")
	addFlags(c, "brokers")
	return c
}

// check refuses to write to a store that is in use.
func (r *rebuild) check() error {
	if r.data != "" {
		if _, err := os.Stat(filepath.Join(r.data, "kafka")); err != nil {
			return fmt.Errorf("--data: there is no data of `sipeat serve` in %s", r.data)
		}
		return nil
	}
	inUse := r.settings.Store
	if inUse == settings.DynamoDB {
		inUse = r.settings.Table
	}
	same := func(name, other string) bool {
		if r.file != "" && other != "" {
			name, _ = filepath.Abs(name)
			other, _ = filepath.Abs(other)
		}
		return name == other
	}
	if name := r.name(); same(name, inUse) || same(name, r.other) {
		return fmt.Errorf("%s is in use (STORE, TABLE_NAME) or compared with: build another file or table", name)
	}
	return nil
}

func (r *rebuild) run(ctx context.Context) (err error) {
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
	if r.model, err = r.open(ctx, r.name()); err != nil {
		return err
	}
	r.add("read model", func(context.Context) error { return r.model.Close() })
	if err := r.replay(ctx); err != nil || r.data == "" {
		return err
	}
	if err := r.model.Close(); err != nil {
		return err
	}
	if err := sqlite.Replace(ctx, r.file, readModel(r.data)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.stdout, "It has replaced %s. Start `sipeat serve` again.\n", readModel(r.data))
	return err
}

func (r *rebuild) name() string { return cmp.Or(r.file, r.table) }

// open opens a read model of the kind that is built.
func (r *rebuild) open(ctx context.Context, name string) (store.Store, error) {
	if r.table != "" {
		return openTable(ctx, r.app, func(cfg aws.Config) (*dynamodb.Store, error) { return dynamodb.Open(cfg, name) })
	}
	return sqlite.Open(ctx, name, sqlite.WithRelaxedSync()) // it can be built again
}

// replay passes the topics to the consumers' projections, all at the same time.
func (r *rebuild) replay(ctx context.Context) error {
	marks, err := r.model.Marks(ctx)
	if err != nil {
		return err
	}
	r.began, r.logged = time.Now(), time.Now()
	r.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(r.stderr), progressbar.OptionSetDescription("events"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetVisibility(isTerminal(r.stderr)))
	var caughtUp sync.WaitGroup
	replays, running := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(running)
	defer stop()
	for _, f := range (consumers.Consumers{Store: r.model}).Functions() {
		from := map[int32]int64{}
		for n, mark := range marks[f.Replay.Topic] {
			from[n] = mark.Held
		}
		caughtUp.Add(1)
		done := sync.OnceFunc(caughtUp.Done)
		o := kafka.ReplayOptions{
			From: from, Logger: r.logger, Advance: r.model.Advance, DeadLetters: r,
			Delivery: bus.Options{Report: r.report, MaxBuffered: 1024, MaxBufferedBytes: 4 << 20},
			Progress: r.topicProgress(),
		}
		if !r.once {
			o.CaughtUp = done
		}
		replays.Go(func() error {
			defer done()
			err := kafka.Replay(running, r.cluster, f.Replay, o)
			if err != nil {
				stop() // before done: nothing is built
			}
			return err
		})
	}
	caughtUp.Wait()
	handled, all := r.endProgress()
	var failure error
	if running.Err() == nil {
		if failure = r.finish(running, handled, time.Since(r.began)); failure != nil || r.other != "" {
			stop()
		}
	}
	if err := replays.Wait(); !errors.Is(err, context.Canceled) {
		failure = errors.Join(failure, err)
	}
	if failure == nil && handled < all && ctx.Err() != nil {
		return fmt.Errorf("interrupted at %d of %d events", handled, all)
	}
	return failure
}

// finish reports the result, and compares it if it is to be.
func (r *rebuild) finish(ctx context.Context, handled int64, took time.Duration) error {
	r.mu.Lock() // new events are still coming
	rejected := r.rejected
	r.mu.Unlock()
	fmt.Fprintf(r.stdout, "Built %s from %s in %s (%.0f/s), %d of them rejected.\n", r.name(), counted(int(handled), "event"),
		took.Round(time.Millisecond), float64(handled)/took.Seconds(), rejected)
	if r.other != "" {
		other, err := r.open(ctx, r.other)
		if err != nil {
			return err
		}
		defer other.Close()
		differences, err := compare(ctx, r.model, other, r.name(), r.other)
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
	switch {
	case r.table != "":
		fmt.Fprintf(r.stdout, "To switch, set TABLE_NAME=%s and restart the API and the workers "+
			"(on AWS: deploy with UseSecondTable=true or false). To go back, set TABLE_NAME=%s.\n", r.table, r.settings.Table)
	case r.data == "":
		claims := "" // stored beside the read model by default, and must stay the same
		if r.settings.ClaimsFile == "" && r.settings.Store != settings.DynamoDB {
			claims = " and CLAIMS_FILE=" + claimsFile(r.settings.Store)
		}
		fmt.Fprintf(r.stdout, "To switch, set STORE=%s%s and restart the API and the workers. To go back, set STORE=%s.\n",
			r.file, claims, r.settings.Store)
	}
	if !r.once && r.other == "" {
		fmt.Fprintln(r.stdout, "Following new events. Ctrl-C stops it.")
	}
	return nil
}

// Write counts what the projection rejects: the workers have written it to the dead-letter topic already.
func (r *rebuild) Write(_ context.Context, l bus.DeadLetter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected++
	r.logger.Debug("rejected", "topic", l.Record.Topic, "partition", l.Record.Partition, "offset", l.Record.Offset,
		"class", l.Class, "reason", l.Reason)
	return nil
}

// logInterval is how often an outage is logged, and the progress where there is no terminal.
const logInterval = 10 * time.Second

// report logs an outage of the read model.
func (r *rebuild) report(report bus.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if report.Outcome != bus.Done && report.Outcome != bus.Rejected && time.Since(r.warned) > logInterval {
		r.warned = time.Now()
		r.logger.Warn("events wait for the read model", "error", report.Err)
	}
}

// topicProgress returns the function that a topic's progress is passed to.
func (r *rebuild) topicProgress() func(handled, all int64) {
	var handledBefore, allBefore int64
	return func(handled, all int64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		handled = min(handled, all)
		r.handled, r.all = r.handled+handled-handledBefore, r.all+all-allBefore
		handledBefore, allBefore = handled, all
		if !r.ended {
			r.showProgress()
		}
	}
}

// showProgress shows how far the topics are: by a bar on a terminal, in the log elsewhere.
func (r *rebuild) showProgress() {
	r.bar.ChangeMax64(r.all + 1) // or it ends by itself
	_ = r.bar.Set64(r.handled)
	if !isTerminal(r.stderr) && time.Since(r.logged) > logInterval {
		r.logged = time.Now()
		rate := float64(r.handled) / time.Since(r.began).Seconds()
		left := time.Duration(float64(r.all-r.handled) / max(rate, 0.01) * float64(time.Second))
		r.logger.Info("rebuilding", "handled", r.handled, "of", r.all, "per_second", int(rate),
			"left", left.Round(time.Second).String())
	}
}

// endProgress ends the display, and returns how far the topics are.
func (r *rebuild) endProgress() (handled, all int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	_ = r.bar.Finish()
	return r.handled, r.all
}
