package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

// drainTimeout is how much of [stopTimeout] requests in flight may take.
const drainTimeout = 6 * time.Second

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

// listenAPI opens the listener of the API. Without AUTH, the address must be on loopback.
func (a *app) listenAPI() (net.Listener, error) {
	if err := a.settings.Web.Auth.CheckListen(a.settings.Serve.HTTP); err != nil {
		return nil, usageError{fmt.Errorf("--http (SIPEAT_HTTP): %w", err)}
	}
	return listen(a.settings.Serve.HTTP, "--http")
}

func (p *parts) endpoints() []web.Function {
	return slices.Concat(commands.Commands{Publisher: p.events}.Functions(),
		queries.Queries{Store: p.store, Claims: p.claims}.Functions())
}

// startAPI serves the commands, the queries, their health and, on loopback, the metrics. It returns its URL.
func (p *parts) startAPI(listener net.Listener, callers settings.Web) string {
	functions := append(p.endpoints(), web.Health(append(p.checks,
		web.Check{Name: "kafka", Probe: p.publisher.Ping}, p.storeCheck())...)...)
	if p.settings.Metrics == "" && settings.IsLoopback(listener.Addr().String()) {
		metrics := gateway.Local(p.metrics.Handler(), "Set METRICS=HOST:PORT to serve /metrics on a listener of its own.")
		functions = append(functions, web.Function{Name: "metrics", Route: "GET /metrics", Watch: true, Handler: metrics})
	}
	options := append(gateway.New(callers, p.logger, time.Now).Options(),
		web.Log(p.logger), web.Observe(p.tracing.Web), web.Observe(p.metrics.Web))
	p.serveHTTP("API", gateway.Limit(listener, callers), web.Router(functions, options...))
	return "http://" + listener.Addr().String()
}

// listenAndServe serves beside the API, and logs the URL.
func (p *parts) listenAndServe(name, address, setting, path string, handler http.Handler) error {
	listener, err := listen(address, setting)
	if err != nil {
		return err
	}
	p.serveHTTP(name, listener, handler)
	p.logger.Info(name, "url", "http://"+listener.Addr().String()+path)
	return nil
}

// serveHTTP serves until the parts are closed.
func (p *parts) serveHTTP(name string, listener net.Listener, handler http.Handler) {
	server := web.Server(handler, p.logger)
	server.IdleTimeout = p.settings.Web.IdleTimeout
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
