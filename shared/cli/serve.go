package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		Args:        cobra.NoArgs,
		Annotations: server,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.settings.Serve.Check(); err != nil {
				return usageError{err}
			}
			return a.runServer(c.Context(), (*parts).serve)
		},
	}
	addFlags(c, "http", "kafka", "data")
	return c
}

// serve starts the embedded broker, and on it what `sipeat api` and `sipeat worker` start.
func (p *parts) serve(ctx context.Context) error {
	s := p.settings.Serve
	listener, err := p.listenAPI()
	if err != nil {
		return err
	}
	if err := local.MakePrivate(s.Data, p.logger); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := p.openBroker(ctx, s.Data, s.Kafka); err != nil {
		return err
	}
	if err := p.open(ctx, readModel(s.Data)); err != nil {
		return err
	}
	p.checks = append(p.checks, web.Check{Name: "disk", Probe: func(context.Context) error { return local.CheckDisk(s.Data) }})
	if err := p.startConsumers(p.consumers().Functions(), nil); err != nil {
		return err
	}
	callers := p.settings.Web
	callers.Public.Rate, callers.Staff.Rate = 0, 0 // all callers are on this machine
	url := p.startAPI(listener, callers)
	fmt.Fprintf(p.stdout, "ready http=%s kafka=%s\n\n", url, p.cluster.Brokers[0])
	printEndpoints(p.stdout)
	fmt.Fprintln(p.stdout)
	printConsumers(p.stdout, allConsumers())
	fmt.Fprintf(p.stdout, "\nData is kept in %s. %s", s.Data, tryLine(url))
	p.logCallers()
	return nil
}

// openBroker opens the embedded broker in the data folder, with all topics, as the cluster.
func (p *parts) openBroker(ctx context.Context, data, address string) error {
	broker, err := local.Open(ctx, local.Options{Dir: filepath.Join(data, "kafka"), Address: address, Logger: p.logger})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: choose a folder that this user may write to, with --data or SIPEAT_DATA", err)
	}
	if err != nil {
		return err
	}
	p.add("broker", func(context.Context) error { return broker.Close() })
	p.cluster = settings.Kafka{Brokers: []string{broker.Address()}}
	_, err = kafka.MakeTopics(ctx, p.cluster, kafka.Topics(events.Catalogue()...)...)
	return err
}

func readModel(data string) string { return filepath.Join(data, "read-model.db") }

func printEndpoints(w io.Writer) {
	rows := []string{"ROUTE\tFUNCTION"}
	for _, f := range (&parts{}).endpoints() {
		rows = append(rows, f.Route+"\t"+f.Name)
	}
	_ = printTable(w, rows...) // the reader may have gone
}

func printConsumers(w io.Writer, functions []consumers.Function) {
	rows := []string{"TOPIC\tPARTITIONS\tCONSUMER GROUP\tDESCRIPTION"}
	for _, f := range functions {
		d, _ := events.Lookup(f.Consumer.Topic)
		rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%s", d.Topic, d.Partitions, f.Consumer.Group, d.Description))
	}
	_ = printTable(w, rows...) // the reader may have gone
}

// tryLine shows a first request.
func tryLine(url string) string {
	return "Try:\n\n  curl -i " + url + `/contacts -H 'Content-Type: application/json' -d '` +
		`{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}'` +
		"\n\nCtrl-C stops it.\n"
}

// logCallers logs when AUTH is needed. It is called after the ready line, which may share its file with the log.
func (a *app) logCallers() {
	if a.settings.Web.Auth.Mode == "" {
		a.logger.Info("AUTH is not set: only callers on this machine are served; behind a reverse proxy, set AUTH")
	}
}
