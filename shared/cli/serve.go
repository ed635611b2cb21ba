package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	var given settings.Serve
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: API, consumers, embedded Kafka broker and read model",
		Long: "Run everything in one process: the API, the four consumers, an embedded broker that any Kafka client can connect\n" +
			"to, and the read model. Nothing else has to be installed.\n\n" +
			"Data is kept in one folder and survives crashes and restarts. When it is ready, it prints this line first:\n" +
			"ready http=http://HOST:PORT kafka=HOST:PORT",
		Example: "  sipeat serve\n" +
			"  sipeat serve --http 127.0.0.1:0 --kafka 127.0.0.1:0 --data /tmp/sipeat    # on free ports",
		Args:        cobra.NoArgs,
		Annotations: server,
		RunE: func(c *cobra.Command, _ []string) error {
			s := a.settings.Serve
			for name, to := range map[string]*string{"http": &s.HTTP, "kafka": &s.Kafka, "data": &s.Data} {
				if f := c.Flags().Lookup(name); f.Changed {
					*to = f.Value.String()
				}
			}
			if err := s.Check(); err != nil {
				return usageError{err}
			}
			return a.serve(c.Context(), s)
		},
	}
	c.Flags().StringVar(&given.HTTP, "http", "127.0.0.1:8080", "address of the API; port 0 takes a free one (SIPEAT_HTTP)")
	c.Flags().StringVar(&given.Kafka, "kafka", "127.0.0.1:9092", "address of the broker; port 0 takes a free one (SIPEAT_KAFKA)")
	c.Flags().StringVar(&given.Data, "data", ".sipeat", "data folder (SIPEAT_DATA)")
	return c
}

// serve runs the embedded broker, and on it the parts of `sipeat api` and `sipeat worker`, until ctx is done.
func (a *app) serve(ctx context.Context, s settings.Serve) (err error) {
	signal.Ignore(syscall.SIGPIPE) // `sipeat serve | head -1` closes the pipe
	p := a.newParts(settings.Kafka{})
	defer func() { err = errors.Join(err, p.close()) }()

	listener, err := a.listen(s.HTTP)
	if err != nil {
		return err
	}
	defer p.release(listener)
	if err := local.MakePrivate(s.Data, a.logger); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := p.openBroker(ctx, s.Data, s.Kafka); err != nil {
		return p.unlessAsked(ctx, err)
	}
	if err := p.open(ctx, readModel(s.Data)); err != nil {
		return p.unlessAsked(ctx, err)
	}
	p.checks = []web.Check{{Name: "disk", Probe: func(context.Context) error { return local.CheckDisk(s.Data) }}}
	if err := p.startConsumers(p.consumers().Functions(), nil); err != nil {
		return err
	}
	callers := a.settings.Web
	callers.Public.Rate, callers.Staff.Rate = 0, 0 // all callers are on this machine
	endpoints := p.startAPI(listener, callers)
	a.printReady("http://"+listener.Addr().String(), p.cluster.Brokers[0], s.Data, endpoints)
	a.logCallers()
	return p.wait(ctx)
}

// openBroker opens the embedded broker in the data folder, with all topics, as the cluster.
func (p *parts) openBroker(ctx context.Context, data, address string) error {
	broker, err := local.Open(ctx, local.Options{Dir: filepath.Join(data, "kafka"), Address: address, Logger: p.app.logger})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: choose a folder that this user may write to, with --data or SIPEAT_DATA", err)
	}
	if err != nil {
		return err
	}
	p.add("broker", func(context.Context) error { return broker.Close() })
	p.cluster = settings.Kafka{Brokers: []string{broker.Address()}}
	states, err := kafka.MakeTopics(ctx, p.cluster, 1, kafka.Topics(events.Catalogue()...)...)
	for _, s := range states {
		for _, d := range s.Differences {
			p.app.logger.Warn("topic differs from its declaration",
				"topic", s.Topic, "setting", d.Setting, "is", d.Have, "should_be", d.Want)
		}
	}
	return err
}

func readModel(data string) string { return filepath.Join(data, "read-model.db") }

// printReady prints the line for scripts, the endpoints and the consumers.
func (a *app) printReady(url, brokers, data string, endpoints []web.Function) {
	fmt.Fprintf(a.stdout, "ready http=%s kafka=%s\n\n", url, brokers)
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	showEndpoints(table, endpoints)
	fmt.Fprintln(table)
	showConsumers(table, allConsumers())
	_ = table.Flush() // the reader may have gone
	fmt.Fprintf(a.stdout, "\nData is kept in %s. Try:\n\n  %s\n\nCtrl-C stops it.\n", data, curlLine(url))
}
