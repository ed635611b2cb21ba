package cli

import (
	"context"
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

// server marks the commands that run until they are stopped: programs read their logs.
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

// telemetry observes the parts of a server.
type telemetry struct {
	logger  *slog.Logger
	metrics *observe.Metrics
	tracing *observe.Tracing // nil = off
	apart   bool             // metrics have a listener of their own
}

// observe starts metrics and traces; the parts stop them.
func (a *app) observe(ctx context.Context, p *parts) (*telemetry, error) {
	v := currentVersion()
	s := &telemetry{logger: a.logger, metrics: observe.NewMetrics(observe.Build{Version: v.Version, Revision: v.Revision})}
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
	p.serveHTTP("metrics", listener, mux)
	a.logger.Info("metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	return s, nil
}

// functions is /metrics on the listener of the API, if that is on loopback. It serves no proxy, with AUTH either.
func (s *telemetry) functions(api string) []web.Function {
	if s.apart || !settings.IsLoopback(api) {
		return nil
	}
	handler := gateway.Local(s.metrics.Handler(), "Set METRICS=HOST:PORT to serve /metrics on a listener of its own.")
	return []web.Function{{Name: "metrics", Route: "GET /metrics", Watch: true, Handler: handler}}
}

func (s *telemetry) router(options ...web.Option) []web.Option {
	if s.tracing != nil {
		options = append(options, web.Observe(s.tracing.Web))
	}
	return append(options, web.Observe(s.metrics.Web))
}

func (s *telemetry) publisher(p bus.Publisher) bus.Publisher {
	return s.metrics.Publisher(s.tracing.Publisher(p))
}

// notifier observes each channel by itself: each has its own claims, too.
func (s *telemetry) notifier(channels notify.Channels) notify.Channels {
	for i, c := range channels {
		channels[i].Notifier = s.metrics.Notifier(s.tracing.Notifier(c.Notifier))
	}
	return channels
}

// consumer returns the options of an observed consumer.
func (s *telemetry) consumer(c bus.Consumer, deadLetters bus.DeadLetters, retryFor time.Duration) kafka.Options {
	watch := &kafka.Watch{}
	s.metrics.Watch(c.Topic, c.Group, watch)
	return kafka.Options{
		Logger: s.logger, Watch: watch, DeadLetters: deadLetters,
		Delivery: bus.Options{
			Report: observe.All(bus.Log(s.logger, c.Group), s.metrics.Events(c.Topic, c.Group)),
			Tracer: s.tracing.Events(), GiveUpAfter: retryFor,
		},
	}
}
