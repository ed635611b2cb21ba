package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

func (a *app) apiCommand() *cobra.Command {
	var brokers, address string
	c := &cobra.Command{
		Use:   "api",
		Short: "Run the API on any Kafka and read model",
		Long: "Run the API: POST publishes to Kafka, GET reads the read model that `sipeat worker` fills. Any number of APIs may\n" +
			"run. When it is ready, it prints this line first: ready http=http://HOST:PORT\n\n" + serverHelp,
		Example: "  sipeat api\n" +
			"  STORE=/var/lib/sipeat/read-model.db sipeat api --http 127.0.0.1:8081 --brokers kafka1:9092,kafka2:9092",
		Args:        cobra.NoArgs,
		Annotations: server,
		RunE: func(c *cobra.Command, _ []string) error {
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			if !c.Flags().Changed("http") {
				address = a.settings.Serve.HTTP
			}
			return a.api(c.Context(), cluster, address)
		},
	}
	c.Flags().StringVar(&address, "http", "127.0.0.1:8080", "address of the API; port 0 takes a free one (SIPEAT_HTTP)")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

func (a *app) api(ctx context.Context, cluster settings.Kafka, address string) (err error) {
	signal.Ignore(syscall.SIGPIPE)
	p := a.newParts(cluster)
	defer func() { err = errors.Join(err, p.close()) }()
	listener, err := a.listen(address)
	if err != nil {
		return err
	}
	defer p.release(listener)
	if p.cluster, err = a.reach(ctx, cluster, kafka.Requirements{Write: topicNames()}); err != nil {
		return p.unlessAsked(ctx, err)
	}
	if err := p.open(ctx, a.settings.Store); err != nil {
		return p.unlessAsked(ctx, err)
	}
	endpoints := p.startAPI(listener, a.settings.Web)
	url := "http://" + listener.Addr().String()
	fmt.Fprintf(a.stdout, "ready http=%s\n\n", url)
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	showEndpoints(table, endpoints)
	_ = table.Flush() // the reader may have gone
	fmt.Fprintf(a.stdout, "\nThe read model is %s. Try:\n\n  %s\n\nCtrl-C stops it.\n", a.storeName(), curlLine(url))
	a.logCallers()
	return p.wait(ctx)
}

// logCallers says when AUTH is needed. It follows the ready line, which may share its file with the log.
func (a *app) logCallers() {
	if a.settings.Web.Auth.Mode == "" {
		a.logger.Info("AUTH is not set: only callers on this machine are served; behind a reverse proxy, set AUTH")
	}
}

// listen opens the listener of the API. Without AUTH, the address must be on loopback.
func (a *app) listen(address string) (net.Listener, error) {
	if err := a.settings.Web.Auth.CheckListen(address); err != nil {
		return nil, usageError{fmt.Errorf("--http (SIPEAT_HTTP): %w", err)}
	}
	return listen(address, "--http")
}

// listen opens a listener at the address of a setting.
func listen(address, setting string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: address %s is in use: stop the other program, or choose another port (0 takes a free one)",
			setting, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", setting, address, err)
	}
	return listener, nil
}

// release closes a listener that no server has taken over.
func (p *parts) release(listener net.Listener) {
	if !p.served {
		_ = listener.Close()
	}
}

// startAPI serves the commands, the queries and their health.
func (p *parts) startAPI(listener net.Listener, callers settings.Web) []web.Function {
	endpoints := slices.Concat(commands.Commands{Publisher: p.telemetry.publisher(p.publisher)}.Functions(),
		queries.Queries{Store: p.store, Claims: p.claims}.Functions())
	health := web.Health(append(p.checks, web.Check{Name: "kafka", Probe: p.publisher.Ping}, p.storeCheck())...)
	options := append(gateway.New(callers, p.app.logger, time.Now).Options(), web.Log(p.app.logger))
	metrics := p.telemetry.functions(listener.Addr().String())
	p.served = true
	p.serveHTTP("API", gateway.Limit(listener, callers),
		web.Router(slices.Concat(endpoints, health, metrics), p.telemetry.router(options...)...))
	return endpoints
}

// serveHTTP serves until the parts are closed.
func (p *parts) serveHTTP(name string, listener net.Listener, handler http.Handler) {
	server := web.Server(handler, p.app.logger)
	server.IdleTimeout = p.app.settings.Web.IdleTimeout
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	p.add(name, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, drainTimeout)
		defer cancel()
		return server.Shutdown(ctx)
	})
}

func showEndpoints(table *tabwriter.Writer, endpoints []web.Function) {
	fmt.Fprintln(table, "ROUTE\tFUNCTION")
	for _, f := range endpoints {
		fmt.Fprintf(table, "%s\t%s\n", f.Route, f.Name)
	}
}

func curlLine(url string) string {
	return "curl -i " + url + `/contacts -H 'Content-Type: application/json' -d '` +
		`{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0958","message":"A machine, please."}'`
}
