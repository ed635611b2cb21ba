package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
)

// drainTimeout is how long each part may take to end in order.
const drainTimeout = 10 * time.Second

func (a *app) serveCommand() *cobra.Command {
	var given settings.Serve
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: API, consumers, embedded Kafka broker and read model",
		Long: "Run everything in one process: the API, the four consumers, an embedded broker that any Kafka\n" +
			"client can connect to, and the read model. Nothing else has to be installed.\n\n" +
			"The data stay in one folder, whatever ends the process. The first line on standard output, once\n" +
			"it is ready, is: ready http=http://HOST:PORT kafka=HOST:PORT",
		Example: "  sipeat serve\n" +
			"  sipeat serve --http 127.0.0.1:0 --kafka 127.0.0.1:0 --data /tmp/sipeat    on free ports",
		Args: cobra.NoArgs,
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
	c.Flags().StringVar(&given.HTTP, "http", "127.0.0.1:8080", "where the API listens; port 0 takes a free one (SIPEAT_HTTP)")
	c.Flags().StringVar(&given.Kafka, "kafka", "127.0.0.1:9092", "where the broker listens; port 0 takes a free one (SIPEAT_KAFKA)")
	c.Flags().StringVar(&given.Data, "data", ".sipeat", "the folder that holds the data (SIPEAT_DATA)")
	return c
}

// serve opens the parts from the broker up, runs until ctx is done, and ends them in the opposite order.
func (a *app) serve(ctx context.Context, s settings.Serve) (err error) {
	signal.Ignore(syscall.SIGPIPE) // `sipeat serve | head -1` takes the addresses and goes
	var parts closers
	defer func() { err = errors.Join(err, parts.close(a)) }()

	listener, err := net.Listen("tcp", s.HTTP)
	if err != nil {
		return listenError(s.HTTP, err)
	}
	served := false
	defer func() {
		if !served {
			_ = listener.Close()
		}
	}()
	broker, err := local.Open(ctx, local.Options{
		Dir: filepath.Join(s.Data, "kafka"), Address: s.Kafka, Topics: localTopics(), Logger: a.logger,
	})
	if err != nil {
		return err
	}
	parts.add("broker", func(context.Context) error { return broker.Close() })
	readModel, err := sqlite.Open(ctx, filepath.Join(s.Data, "read-model.db"))
	if err != nil {
		return err
	}
	parts.add("read model", func(context.Context) error { return readModel.Close() })
	cluster := settings.Kafka{Brokers: []string{broker.Address()}}
	publisher, err := kafka.NewPublisher(cluster, a.logger)
	if err != nil {
		return err
	}
	parts.add("publisher", publisher.Close)

	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	parts.add("consumers", a.consume(consumers.Consumers{
		Publisher: publisher, Notifier: notify.Log{Logger: a.logger}, Store: readModel,
		AnnouncedBy: a.settings.AnnouncedByProducer,
	}, cluster, fail))

	endpoints := append(commands.Commands{Publisher: publisher}.Functions(), queries.Queries{Store: readModel}.Functions()...)
	health := web.Health(web.Check{Name: "kafka", Probe: publisher.Ping}, web.Check{Name: "store", Probe: readModel.Ping})
	server := web.Server(web.Router(append(endpoints, health...), web.Log(a.logger), web.Open()), a.logger)
	served = true // and closed by the server, when it ends
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fail(err)
		}
	}()
	parts.add("API", server.Shutdown)

	a.welcome("http://"+listener.Addr().String(), broker.Address(), s.Data, endpoints)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// consume runs the consumers, and returns what ends them.
func (a *app) consume(c consumers.Consumers, cluster settings.Kafka, fail func(error)) func(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, function := range c.Functions() {
		running.Go(func() {
			if err := kafka.Consume(ctx, cluster, function.Consumer, kafka.Options{Logger: a.logger}); err != nil {
				fail(err)
			}
		})
	}
	return func(context.Context) error { // it bounds itself
		stop()
		running.Wait()
		return nil
	}
}

func localTopics() []local.Topic {
	var topics []local.Topic
	for _, t := range kafka.Topics(events.Catalogue()...) {
		configs := map[string]*string{}
		for name, value := range t.Config {
			configs[name] = &value
		}
		topics = append(topics, local.Topic{Name: t.Name, Partitions: t.Partitions, Configs: configs})
	}
	return topics
}

// welcome says that all is ready, and what there is. The first line is for scripts.
func (a *app) welcome(url, brokers, data string, endpoints []web.Function) {
	fmt.Fprintf(a.stdout, "ready http=%s kafka=%s\n\n", url, brokers)
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ROUTE\tFUNCTION")
	for _, f := range endpoints {
		fmt.Fprintf(table, "%s\t%s\n", f.Route, f.Name)
	}
	fmt.Fprintln(table, "\nTOPIC\tPARTITIONS\tCONSUMER GROUP\tWHAT")
	for _, f := range (consumers.Consumers{}).Functions() {
		d, _ := events.Lookup(f.Consumer.Topic)
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", d.Topic, d.Partitions, f.Consumer.Group, d.Description)
	}
	_ = table.Flush() // whoever reads it may have gone
	fmt.Fprintf(a.stdout, "\nThe data are in %s. Try:\n\n  %s\n\nCtrl-C ends it.\n", data, curlLine(url))
}

func curlLine(url string) string {
	return "curl -i " + url + `/contacts -H 'Content-Type: application/json' -d '` +
		`{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}'`
}

func listenError(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken by another program: end that one, or name another address with --http (port 0 takes a free one)", address)
	}
	return fmt.Errorf("the API cannot listen on %s: %w", address, err)
}

// closers ends parts in the opposite order to that in which they were added.
type closers []closer

type closer struct {
	name string
	end  func(context.Context) error
}

func (c *closers) add(name string, end func(context.Context) error) {
	*c = append(*c, closer{name, end})
}

func (c closers) close(a *app) error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		fmt.Fprintf(a.stderr, "sipeat: ending %s\n", c[i].name)
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		if err := c[i].end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c[i].name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}
