package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

// server marks the commands that run until they are ended: machines read what they log.
var server = map[string]string{"server": "yes"}

// log sets the logger, also that of other packages: JSON for servers unless a person reads, colours on a terminal.
func (a *app) log(c *cobra.Command) {
	terminal, format := isTerminal(a.stderr), a.settings.LogFormat
	if format == "" && !terminal && c.Annotations["server"] != "" {
		format = "json"
	}
	if terminal && format != "json" {
		a.logger = terminalLogger(a.stderr, a.settings.LogLevel, os.Getenv("NO_COLOR") != "")
	} else {
		a.logger = observe.Logger(a.stderr, format == "json", a.settings.LogLevel)
	}
	slog.SetDefault(a.logger)
}

func terminalLogger(w io.Writer, level slog.Leveler, noColor bool) *slog.Logger {
	return slog.New(trace.Logs(tint.NewTextHandler(w, &tint.Options{
		Level: level, TimeFormat: time.TimeOnly, NoColor: noColor, ReplaceAttr: withoutEscapes,
	})))
}

// withoutEscapes replaces ESC, which tint passes on to the terminal; it quotes all other controls.
func withoutEscapes(_ []string, a slog.Attr) slog.Attr {
	text := a.Value.String()
	if a.Value.Kind() == slog.KindString || a.Value.Kind() == slog.KindAny && strings.Contains(text, "\x1b") {
		a.Value = slog.StringValue(strings.ReplaceAll(text, "\x1b", "\ufffd"))
	}
	return a
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
