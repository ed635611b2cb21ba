package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

// server marks the commands that run until they are ended: machines read what they log.
var server = map[string]string{"server": "yes"}

// log sets the logger, also for what other packages log by themselves.
func (a *app) log(c *cobra.Command) {
	json := a.settings.LogFormat == "json"
	if a.settings.LogFormat == "" && c.Annotations["server"] != "" {
		f, file := a.stderr.(*os.File)
		json = !file || !isatty.IsTerminal(f.Fd())
	}
	a.logger = observe.Logger(a.stderr, json, a.settings.LogLevel)
	slog.SetDefault(a.logger)
}

// seen is what is seen of a server while it runs, and where the parts are joined to it.
type seen struct {
	logger  *slog.Logger
	metrics *observe.Metrics
	tracing *observe.Tracing // nil = off
	apart   bool             // metrics have an address of their own
}

// observe starts it. What must end is added to the parts.
func (a *app) observe(ctx context.Context, p *parts) (*seen, error) {
	v := currentVersion()
	s := &seen{logger: a.logger, metrics: observe.NewMetrics(observe.Build{Version: v.Version, Revision: v.Revision})}
	var err error
	if s.tracing, err = observe.NewTracing(ctx, os.Getenv, v.Version, a.logger); err != nil {
		return nil, usageError{err}
	}
	if s.tracing != nil {
		p.add("traces", s.tracing.Close)
	}
	if a.settings.Metrics == "" {
		return s, nil
	}
	listener, err := listen(a.settings.Metrics, "METRICS")
	if err != nil {
		return nil, err
	}
	s.apart = true
	mux := http.NewServeMux()
	metrics := s.metrics.Handler()
	if settings.IsLoopback(listener.Addr().String()) {
		metrics = gateway.OwnName(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	srv := web.Server(mux, a.logger)
	srv.IdleTimeout = a.settings.Web.IdleTimeout
	go func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.logger.Error("metrics are not served any more", "error", err)
		}
	}()
	a.logger.Info("metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	p.add("metrics", srv.Shutdown)
	return s, nil
}

// functions is /metrics beside the API, where only this machine can reach it: AUTH lets a proxy in, and not to /metrics.
func (s *seen) functions(api string) []web.Function {
	if s.apart || !settings.IsLoopback(api) {
		return nil
	}
	handler := gateway.Local(s.metrics.Handler(), "Set METRICS=HOST:PORT to serve /metrics on a listener of its own.")
	return []web.Function{{Name: "metrics", Route: "GET /metrics", Watch: true, Handler: handler}}
}

func (s *seen) router(options ...web.Option) []web.Option {
	if s.tracing != nil {
		options = append(options, web.Observe(s.tracing.Web))
	}
	return append(options, web.Observe(s.metrics.Web))
}

func (s *seen) publisher(p bus.Publisher) bus.Publisher {
	return s.metrics.Publisher(s.tracing.Publisher(p))
}

// notifier looks at each channel by itself: each is claimed by itself too.
func (s *seen) notifier(channels notify.Channels) notify.Channels {
	for i, c := range channels {
		channels[i].Notifier = s.metrics.Notifier(s.tracing.Notifier(c.Notifier))
	}
	return channels
}

// consumer is how a consumer is run so that it is seen.
func (s *seen) consumer(c bus.Consumer, letters bus.DeadLetters, retryFor time.Duration) kafka.Options {
	watch := &kafka.Watch{}
	s.metrics.Watch(c.Topic, c.Group, watch)
	return kafka.Options{
		Logger: s.logger, Watch: watch, DeadLetters: s.tracing.DeadLetters(letters),
		Delivery: bus.Options{
			Report: observe.All(bus.Log(s.logger, c.Group), s.metrics.Events(c.Topic, c.Group)),
			Tracer: s.tracing.Events(), GiveUpAfter: retryFor,
		},
	}
}
