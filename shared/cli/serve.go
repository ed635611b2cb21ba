package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/console"
	"github.com/sipeat/sipeat/shared/docs"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"
)

func (a *app) serveCommand() *cobra.Command {
	return a.withFlags(&cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: API, consumers, embedded Kafka broker and read model",
		Long: "Run everything in one process: the API, the four consumers, an embedded broker that any Kafka client can connect\n" +
			"to, and the read model. Nothing else has to be installed.\n\n" +
			"Data is kept in one folder and survives crashes and restarts. When it is ready, it prints this line first:\n" +
			"ready http=http://HOST:PORT kafka=HOST:PORT",
		Example: "  sipeat serve\n" +
			"  sipeat serve --http 127.0.0.1:0 --kafka 127.0.0.1:0 --data /tmp/sipeat    # on free ports",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.settings.Serve.Check(); err != nil {
				return usageError{err}
			}
			return a.runServer(c.Context(), a.serve)
		},
	}, "http", "kafka", "data")
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
	a.served = s.Data
	if err := a.open(ctx, readModel(s.Data)); err != nil {
		return err
	}
	a.checks = append(a.checks, web.Check{Name: "disk", Probe: func(context.Context) error { return local.CheckDisk(s.Data) }})
	c := a.consumers()
	c.Publisher = kafka.Linger(c.Publisher)
	if err := a.startConsumers(c.Functions(), nil); err != nil {
		return err
	}
	a.settings.Web.Public.Rate, a.settings.Web.Staff.Rate = 0, 0 // all callers are on this machine
	url := a.startAPI(listener)
	fmt.Fprintf(a.stdout, "ready http=%s kafka=%s\n\n", url, a.cluster.Brokers[0])
	a.printEndpoints()
	fmt.Fprintln(a.stdout)
	a.printConsumers(allConsumers())
	fmt.Fprintf(a.stdout, "\nThe console is %s/console/. Data is kept in %s. ", url, s.Data)
	a.printRequest(url)
	return nil
}

// openBroker opens the embedded broker in the data folder, with all topics, as the cluster.
func (a *app) openBroker(ctx context.Context, data, address string) error {
	dir := brokerFolder(data)
	if err := local.CheckLog(dir); err != nil {
		a.logger.Warn(err.Error() + "; " + moveToKafka)
	}
	broker, err := local.Open(ctx, local.Options{Dir: dir, Address: address, Logger: a.logger})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: choose a folder that this user may write to, with --data or SIPEAT_DATA", err)
	}
	if err != nil {
		return err
	}
	a.add("broker", func(context.Context) error { return broker.Close() })
	a.checks = append(a.checks, web.Check{Name: "broker", Probe: func(context.Context) error { return broker.Check() }})
	a.cluster = settings.Kafka{Brokers: []string{broker.Address()}}
	_, err = kafka.MakeTopics(ctx, a.cluster, kafka.Topics(events.Catalogue()...)...)
	return err
}

func brokerFolder(data string) string { return filepath.Join(data, "kafka") }

// moveToKafka is the advice for a log that has become large.
const moveToKafka = "run `sipeat api` and `sipeat worker` on Kafka"

func readModel(data string) string { return filepath.Join(data, "read-model.db") }

func (a *app) printConsumers(functions []consumers.Function) {
	printRows(a, functions, "TOPIC\tPARTITIONS\tCONSUMER GROUP\tDESCRIPTION", func(f consumers.Function) string {
		d, _ := events.Lookup(f.Consumer.Topic)
		return fmt.Sprintf("%s\t%d\t%s\t%s", d.Topic, d.Partitions, f.Consumer.Group, d.Description)
	})
}

// serverHelp is what `sipeat api` and `sipeat worker` have in common.
const serverHelp = "" +
	"It exits with status 1 if no broker can be used, or a topic or permission is missing, and with 2 if settings are\n" +
	"wrong. Later failures are retried and logged. SIGTERM or Ctrl-C finishes the work in progress, within 8 s.\n\n" + kafkaHelp

func (a *app) apiCommand() *cobra.Command {
	return a.withFlags(&cobra.Command{
		Use:   "api",
		Short: "Run the API on any Kafka and read model",
		Long: "Run the API: POST publishes to Kafka, GET reads the read model that `sipeat worker` fills. Any number of APIs may\n" +
			"run. When it is ready, it prints this line first: ready http=http://HOST:PORT\n\n" + serverHelp,
		Example: "  sipeat api\n" +
			"  STORE=/var/lib/sipeat/read-model.db sipeat api --http 127.0.0.1:8081 --brokers kafka1:9092,kafka2:9092",
		RunE: func(c *cobra.Command, _ []string) error { return a.runServer(c.Context(), a.api) },
	}, "http", "brokers")
}

func (a *app) api(ctx context.Context) error {
	listener, err := a.listenAPI()
	if err != nil {
		return err
	}
	if err := a.reach(ctx, kafka.Requirements{Write: topicNames()}); err != nil {
		return err
	}
	if err := a.open(ctx, a.settings.Store); err != nil {
		return err
	}
	url := a.startAPI(listener)
	fmt.Fprintf(a.stdout, "ready http=%s\n\n", url)
	a.printEndpoints()
	fmt.Fprintf(a.stdout, "\nThe read model is %s. ", a.settings.Store)
	a.printRequest(url)
	return nil
}

// drainTimeout is how much of [stopTimeout] requests in flight may take.
const drainTimeout = 6 * time.Second

func listen(address, setting string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; choose another address (port 0 takes a free one), or stop what uses it", setting, err)
	}
	return listener, nil
}

// listenAPI opens the listener of the API. Without AUTH, the address must be on loopback.
func (a *app) listenAPI() (net.Listener, error) {
	if err := a.settings.Web.Auth.CheckListen(a.settings.Serve.HTTP); err != nil {
		return nil, usageError{fmt.Errorf("--http (SIPEAT_HTTP): %w", err)}
	}
	return listen(a.settings.Serve.HTTP, "--http")
}

func (a *app) endpoints() []web.Function {
	return slices.Concat(commands.Commands{Publisher: a.events}.Functions(),
		queries.Queries{Store: a.store, Claims: a.claims}.Functions())
}

// startAPI serves the commands, the queries, their health and, on loopback, the metrics. It returns its URL.
func (a *app) startAPI(listener net.Listener) string {
	functions := append(a.endpoints(), web.Health(append(a.checks,
		web.Check{Name: "kafka", Probe: a.publisher.Ping}, a.storeCheck())...)...)
	functions = slices.Concat(functions, docs.Functions(a.documents), console.Functions(a.consoleOptions()))
	if a.settings.Metrics == "" && settings.IsLoopback(listener.Addr().String()) {
		metrics := gateway.Local(a.metrics.Handler(), "Set METRICS=HOST:PORT to serve /metrics on a listener of its own.")
		functions = append(functions, web.Function{Name: "metrics", Route: "GET /metrics", Watch: true, Handler: metrics})
	}
	return a.serveFunctions("API", listener, functions, a.tracing.Web, a.metrics.Web)
}

// serveFunctions serves by the settings for callers, and returns the URL.
func (a *app) serveFunctions(name string, listener net.Listener, functions []web.Function, observers ...web.Observer) string {
	options := gateway.New(a.settings.Web, a.logger, time.Now).Options()
	options.Observers = observers
	a.serveHTTP(name, netutil.LimitListener(listener, a.settings.Web.MaxConnections), web.Router(functions, options))
	return "http://" + listener.Addr().String()
}

// listenAndServe serves beside the API, and logs the URL.
func (a *app) listenAndServe(name, address, setting, path string, handler http.Handler) error {
	listener, err := listen(address, setting)
	if err != nil {
		return err
	}
	a.serveHTTP(name, listener, handler)
	a.logger.Info(name, "url", "http://"+listener.Addr().String()+path)
	return nil
}

func (a *app) serveHTTP(name string, listener net.Listener, handler http.Handler) {
	server := web.Server(handler, a.logger)
	server.IdleTimeout = a.settings.Web.IdleTimeout
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.stop(fmt.Errorf("%s: %w", name, err))
		}
	}()
	a.add(name, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, drainTimeout)
		defer cancel()
		return server.Shutdown(ctx)
	})
}

func (a *app) printEndpoints() {
	printRows(a, a.endpoints(), "ROUTE\tFUNCTION", func(f web.Function) string { return f.Route + "\t" + f.Name })
}

func (a *app) printRequest(url string) {
	fmt.Fprint(a.stdout, "Try:\n\n  curl -i "+url+`/contacts -H 'Content-Type: application/json' -d '`+
		`{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}'`+
		"\n\nCtrl-C stops it.\n")
	if a.settings.Web.Auth.Mode == "" {
		a.logger.Info("AUTH is not set: only callers on this machine are served; behind a reverse proxy, set AUTH")
	}
}
