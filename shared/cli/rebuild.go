package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/spf13/cobra"
)

// rebuild is the building of a read model from the topics.
type rebuild struct {
	*app
	file, table, data string // where it is built: one of them
	other             string // what it is compared with
	once              bool

	model    store.Store
	mu       sync.Mutex
	rejected int
	warned   time.Time
}

func (a *app) rebuildCommand() *cobra.Command {
	var brokers string
	r := &rebuild{app: a}
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
		RunE: func(c *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return wrongUsage(c, err)
			}
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			return r.run(c.Context(), cluster)
		},
	}
	c.Flags().StringVar(&r.file, "store", "", "build a SQLite file")
	c.Flags().StringVar(&r.table, "table", "", "build a DynamoDB table")
	c.Flags().StringVar(&r.data, "data", "", "rebuild the read model in this folder of `sipeat serve`")
	c.Flags().BoolVar(&r.once, "once", false, "end at the events that were there at the start")
	c.Flags().StringVar(&r.other, "compare", "",
		"then compare with this file or table, list the differences and end, with status 1 if there are any")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

func (r *rebuild) check() error {
	given := slices.DeleteFunc([]string{r.file, r.table, r.data}, func(s string) bool { return s == "" })
	switch {
	case len(given) != 1:
		return errors.New("give one of --store FILE, --table NAME and --data DIR")
	case r.data != "" && r.other != "":
		return errors.New("--compare goes with --store or --table")
	case given[0] == r.other:
		return errors.New("--compare: name another read model than the one to build")
	case r.table != "" && r.settings.Store == settings.DynamoDB && r.table == r.settings.Table:
		return fmt.Errorf("--table: %s is in use (TABLE_NAME): name another table", r.table)
	case r.file != "" && sameFile(r.file, r.settings.Store):
		return fmt.Errorf("--store: %s is in use (STORE): name another file", r.file)
	}
	if r.data != "" {
		if _, err := os.Stat(filepath.Join(r.data, "kafka")); err != nil {
			return fmt.Errorf("--data: there is no data of `sipeat serve` in %s", r.data)
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

func (r *rebuild) run(ctx context.Context, cluster settings.Kafka) (err error) {
	p := r.newParts(cluster)
	defer func() { err = errors.Join(err, p.close()) }()
	if r.data != "" {
		r.file, r.once = readModel(r.data)+".new", true
		if err := p.openBroker(ctx, r.data, "127.0.0.1:0"); err != nil {
			return err
		}
		if err := sqlite.Remove(r.file); err != nil { // of a run that was interrupted
			return err
		}
	} else if p.cluster, err = r.reach(ctx, cluster, kafka.Requirements{Read: topicNames()}); err != nil {
		return err
	}
	if r.model, err = r.open(ctx, cmp.Or(r.file, r.table)); err != nil {
		return err
	}
	p.add("read model", func(context.Context) error { return r.model.Close() })
	if err := r.adoptClaims(ctx); err != nil {
		return err
	}
	if err := r.replay(ctx, p.cluster); err != nil {
		return err
	}
	if r.data == "" {
		return nil
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

// open opens a read model of the kind that is built.
func (r *rebuild) open(ctx context.Context, name string) (store.Store, error) {
	if r.table != "" {
		return openTable(ctx, r.app, func(cfg aws.Config) (*dynamodb.Store, error) { return dynamodb.Open(cfg, name) })
	}
	return sqlite.Open(ctx, name, sqlite.WithRelaxedSync()) // it can be built again
}

// adoptClaims saves the delivery claims, which older versions kept in the read model.
func (r *rebuild) adoptClaims(ctx context.Context) error {
	old := r.settings.Store
	if r.data != "" {
		old = readModel(r.data)
	}
	if r.table != "" || old == settings.DynamoDB {
		return nil
	}
	if _, err := os.Stat(old); err != nil {
		return nil //nolint:nilerr // there is none
	}
	claims, err := r.openClaims(ctx, old)
	if err != nil {
		return err
	}
	return errors.Join(claims.(*sqlite.Claims).Adopt(ctx, old), claims.Close())
}

// replay gives the topics to the consumers' projections, all at the same time.
func (r *rebuild) replay(ctx context.Context, cluster settings.Kafka) error {
	marks, err := r.model.Marks(ctx)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	functions := consumers.Consumers{Store: r.model}.Functions()
	var caughtUp, replays sync.WaitGroup
	caughtUp.Add(len(functions))
	progress := r.newProgress()
	errs := make(chan error, len(functions))
	for _, f := range functions {
		from := map[int32]int64{}
		for n, mark := range marks[f.Replay.Topic] {
			from[n] = mark.Held
		}
		o := kafka.ReplayOptions{
			From: from, Logger: r.logger, Advance: r.model.Advance, DeadLetters: r,
			Delivery: bus.Options{Report: r.report, MaxBuffered: 1024, MaxBufferedBytes: 4 << 20},
			Progress: func(handled, all int64) { progress.set(f.Name, handled, all) },
		}
		done := sync.OnceFunc(caughtUp.Done)
		if !r.once {
			o.CaughtUp = done
		}
		replays.Go(func() {
			err := kafka.Replay(running, cluster, f.Replay, o)
			if err != nil {
				stop()
			}
			errs <- err
			done()
		})
	}
	caughtUp.Wait()
	progress.end()
	var failure error
	if running.Err() == nil {
		failure = r.caughtUp(running, progress)
		if r.other != "" {
			stop()
		}
	}
	replays.Wait()
	for range functions {
		if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
			failure = errors.Join(failure, err)
		}
	}
	if handled, all := progress.sum(); failure == nil && handled < all && ctx.Err() != nil {
		return fmt.Errorf("interrupted at %d of %d events", handled, all)
	}
	return failure
}

// caughtUp reports the result, and compares it if it is to be.
func (r *rebuild) caughtUp(ctx context.Context, progress *rebuildProgress) error {
	handled, _ := progress.sum()
	took := time.Since(progress.began)
	fmt.Fprintf(r.stdout, "Built %s from %s in %s (%.0f/s), %d of them rejected.\n", cmp.Or(r.file, r.table),
		counted(int(handled), "event"),
		took.Round(time.Millisecond), float64(handled)/max(took.Seconds(), 0.001), r.rejected)
	if r.other != "" {
		other, err := r.open(ctx, r.other)
		if err != nil {
			return err
		}
		defer other.Close()
		differences, err := compare(ctx, r.model, other, cmp.Or(r.file, r.table), r.other)
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
			"(on AWS: deploy with UseSecondTable=true or false). "+
			"To go back, set TABLE_NAME=%s.\n", r.table, r.settings.Table)
	case r.data == "":
		claims := ""
		if filepath.Dir(r.file) != filepath.Dir(r.settings.Store) && r.settings.ClaimsFile == "" &&
			r.settings.Store != settings.DynamoDB {
			claims = " and CLAIMS_FILE=" + filepath.Join(filepath.Dir(r.settings.Store), "claims.db")
		}
		fmt.Fprintf(r.stdout, "To switch, set STORE=%s%s and restart the API and the workers. To go back, set STORE=%s.\n",
			r.file, claims, r.settings.Store)
	}
	if !r.once && r.other == "" {
		fmt.Fprintln(r.stdout, "Following new events. Ctrl-C stops it.")
	}
	return nil
}

// Write counts what the projection rejects: it is in the dead letters already.
func (r *rebuild) Write(_ context.Context, l bus.DeadLetter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected++
	r.logger.Debug("rejected", "topic", l.Record.Topic, "partition", l.Record.Partition, "offset", l.Record.Offset,
		"class", l.Class, "reason", l.Reason)
	return nil
}

// report shows an outage of the read model now and then.
func (r *rebuild) report(report bus.Report) {
	if report.Outcome == bus.Done || report.Outcome == bus.Rejected {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.warned) > 10*time.Second {
		r.warned = time.Now()
		r.logger.Warn("events wait for the read model", "error", report.Err)
	}
}

// rebuildProgress is how far the topics are.
type rebuildProgress struct {
	app   *app
	bar   *progressbar.ProgressBar
	began time.Time

	mu           sync.Mutex
	handled, all map[string]int64
	logged       time.Time
	over         bool
}

// logInterval is how often the progress is logged where there is no terminal.
const logInterval = 10 * time.Second

func (r *rebuild) newProgress() *rebuildProgress {
	p := &rebuildProgress{app: r.app, began: time.Now(), logged: time.Now(), handled: map[string]int64{}, all: map[string]int64{}}
	if f, ok := r.stderr.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(r.stderr), progressbar.OptionSetDescription("events"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionClearOnFinish())
	}
	return p
}

func (p *rebuildProgress) set(function string, handled, all int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handled[function], p.all[function] = min(handled, all), all
	if p.over {
		return
	}
	sum, total := p.sums()
	if p.bar != nil {
		p.bar.ChangeMax64(total + 1) // or it ends by itself
		_ = p.bar.Set64(sum)
	} else if time.Since(p.logged) > logInterval {
		p.logged = time.Now()
		rate := float64(sum) / time.Since(p.began).Seconds()
		left := time.Duration(float64(total-sum) / max(rate, 0.01) * float64(time.Second))
		p.app.logger.Info("rebuilding", "handled", sum, "of", total, "per_second", int(rate), "left", left.Round(time.Second).String())
	}
}

func (p *rebuildProgress) sums() (handled, all int64) {
	for _, n := range p.handled {
		handled += n
	}
	for _, n := range p.all {
		all += n
	}
	return handled, all
}

func (p *rebuildProgress) sum() (handled, all int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sums()
}

func (p *rebuildProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over = true; p.bar != nil {
		_ = p.bar.Finish()
	}
}
