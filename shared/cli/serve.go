package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: API, consumers, embedded Kafka broker and read model",
		Long: "Run everything in one process: the API, the four consumers, an embedded broker that any Kafka client can connect\n" +
			"to, and the read model. Nothing else has to be installed.\n\n" +
			"Data is kept in one folder and survives crashes and restarts. When it is ready, it prints this line first:\n" +
			"ready http=http://HOST:PORT kafka=HOST:PORT",
		Example: "  sipeat serve\n" +
			"  sipeat serve --http 127.0.0.1:0 --kafka 127.0.0.1:0 --data /tmp/sipeat    # on free ports",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.settings.Serve.Check(); err != nil {
				return usageError{err}
			}
			return a.runServer(c.Context(), a.serve)
		},
	}
	addFlags(c, "http", "kafka", "data")
	return c
}

// serve starts the embedded broker, and on it what `sipeat api` and `sipeat worker` start.
func (a *app) serve(ctx context.Context) error {
	s := a.settings.Serve
	listener, err := a.listenAPI()
	if err != nil {
		return err
	}
	if err := local.MakePrivate(s.Data, a.logger); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := a.openBroker(ctx, s.Data, s.Kafka); err != nil {
		return err
	}
	if err := a.open(ctx, readModel(s.Data)); err != nil {
		return err
	}
	a.checks = append(a.checks, web.Check{Name: "disk", Probe: func(context.Context) error { return local.CheckDisk(s.Data) }})
	if err := a.startConsumers(a.consumers().Functions(), nil); err != nil {
		return err
	}
	callers := a.settings.Web
	callers.Public.Rate, callers.Staff.Rate = 0, 0 // all callers are on this machine
	url := a.startAPI(listener, callers)
	fmt.Fprintf(a.stdout, "ready http=%s kafka=%s\n\n", url, a.cluster.Brokers[0])
	a.printEndpoints()
	fmt.Fprintln(a.stdout)
	a.printConsumers(allConsumers())
	fmt.Fprintf(a.stdout, "\nData is kept in %s. ", s.Data)
	a.printRequest(url)
	return nil
}

// openBroker opens the embedded broker in the data folder, with all topics, as the cluster.
func (a *app) openBroker(ctx context.Context, data, address string) error {
	broker, err := local.Open(ctx, local.Options{Dir: filepath.Join(data, "kafka"), Address: address, Logger: a.logger})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: choose a folder that this user may write to, with --data or SIPEAT_DATA", err)
	}
	if err != nil {
		return err
	}
	a.add("broker", func(context.Context) error { return broker.Close() })
	a.cluster = settings.Kafka{Brokers: []string{broker.Address()}}
	_, err = kafka.MakeTopics(ctx, a.cluster, kafka.Topics(events.Catalogue()...)...)
	return err
}

func readModel(data string) string { return filepath.Join(data, "read-model.db") }

func (a *app) printConsumers(functions []consumers.Function) {
	rows := []string{"TOPIC\tPARTITIONS\tCONSUMER GROUP\tDESCRIPTION"}
	for _, f := range functions {
		d, _ := events.Lookup(f.Consumer.Topic)
		rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%s", d.Topic, d.Partitions, f.Consumer.Group, d.Description))
	}
	_ = printTable(a.stdout, rows...) // the reader may have gone
}
