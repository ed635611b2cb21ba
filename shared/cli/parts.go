package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/ses"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

// stopTimeout bounds the stop of a server, below the 10 s after which Docker kills a container.
const stopTimeout = 8 * time.Second

// parts are what functions need, opened from the settings. Implementations are chosen here and in store.go only.
type parts struct {
	*app
	store     store.Store
	claims    store.Claims
	publisher *kafka.Publisher
	events    bus.Publisher // the publisher, observed
	notifier  notify.Notifier
	metrics   *observe.Metrics
	tracing   *observe.Tracing // nil = off
	checks    []web.Check      // of readiness, beside those of Kafka and the read model
	failed    chan error       // the first failure of a part
	brief     bool             // for one call: closing does not wait and logs nothing
	closers   []func(context.Context) error
	running   context.Context // of the consumers
	stop      context.CancelFunc
}

func (a *app) newParts() *parts {
	p := &parts{app: a, failed: make(chan error, 1)}
	p.running, p.stop = context.WithCancel(context.Background())
	return p
}

// runServer runs a server: it waits for a signal, or for the first failure, once start has opened the parts, and closes them.
func (a *app) runServer(ctx context.Context, start func(*parts, context.Context) error) (err error) {
	signal.Ignore(syscall.SIGPIPE) // `sipeat serve | head -1` closes the pipe
	p := a.newParts()
	defer func() { err = errors.Join(err, p.close()) }()
	if err := start(p, ctx); err != nil && ctx.Err() == nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

// open opens telemetry, notifier, read model and publisher for a server.
func (p *parts) open(ctx context.Context, where string) error {
	if err := p.openTelemetry(ctx); err != nil {
		return err
	}
	channels, err := p.openNotifier(ctx)
	if err != nil {
		return err
	}
	for i, c := range channels { // each channel by itself: each has its own claims, too
		channels[i].Notifier = p.metrics.Notifier(p.tracing.Notifier(c.Notifier))
	}
	p.notifier = channels
	if err := p.openStore(ctx, where); err != nil {
		return err
	}
	if err := p.openPublisher(); err != nil {
		return err
	}
	p.events = p.metrics.Publisher(p.tracing.Publisher(p.publisher))
	return nil
}

func (p *parts) openTelemetry(ctx context.Context) (err error) {
	v := currentVersion()
	p.metrics = observe.NewMetrics(observe.Build{Version: v.Version, Revision: v.Revision})
	if p.tracing, err = observe.NewTracing(ctx, os.Getenv, v.Version, p.logger); err != nil {
		return usageError{err}
	}
	if p.tracing != nil {
		p.add("traces", p.tracing.Close)
	}
	if p.settings.Metrics == "" {
		return nil
	}
	metrics := p.metrics.Handler()
	if settings.IsLoopback(p.settings.Metrics) {
		metrics = gateway.OwnName(metrics)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	return p.listenAndServe("metrics", p.settings.Metrics, "METRICS", "/metrics", mux)
}

func (p *parts) openPublisher() (err error) {
	if p.publisher, err = kafka.NewPublisher(p.cluster, p.logger); err != nil {
		return err
	}
	p.events = p.publisher
	p.add("publisher", p.publisher.Close)
	return nil
}

// openStore opens the read model and the delivery claims.
func (p *parts) openStore(ctx context.Context, where string) (err error) {
	if p.store, err = p.app.openStore(ctx, where); err != nil {
		return err
	}
	p.add("read model", func(context.Context) error { return p.store.Close() })
	if p.claims, err = p.openClaims(ctx, where); err != nil {
		return err
	}
	p.add("delivery claims", func(context.Context) error { return p.claims.Close() })
	return nil
}

func (p *parts) openDeadLetters() (bus.DeadLetters, error) {
	deadLetters, err := kafka.NewDeadLetters(p.cluster, p.logger)
	if err != nil {
		return nil, err
	}
	p.add("dead letters", func(context.Context) error {
		deadLetters.Close()
		return nil
	})
	return p.consumers().DeadLetters(deadLetters), nil
}

// openNotifier opens the channels in NOTIFY.
func (a *app) openNotifier(ctx context.Context) (notify.Channels, error) {
	openSES := func(m notify.Composer) (notify.Notifier, error) {
		cfg, err := a.aws.regional(ctx)
		if err != nil {
			return nil, fmt.Errorf("NOTIFY=ses: %w", err)
		}
		return ses.New(m, cfg), nil
	}
	channels, err := notify.New(a.settings.Notify, notify.Options{Logger: a.logger, SES: openSES})
	if err != nil && events.KindOf(err) != events.Unavailable {
		err = usageError{err}
	}
	return channels, err
}

// fail records the first failure of a part.
func (p *parts) fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

func (p *parts) add(name string, close func(context.Context) error) {
	p.closers = append(p.closers, func(ctx context.Context) error {
		if !p.brief {
			p.logger.Info("ending " + name)
		}
		if err := close(ctx); err != nil && !p.brief {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// close stops parts in the opposite order to that in which they were added, in [stopTimeout]. The consumers begin to stop while
// the API drains.
func (p *parts) close() error {
	p.stop()
	timeout := stopTimeout
	if p.brief {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var errs []error
	for _, end := range slices.Backward(p.closers) {
		errs = append(errs, end(ctx))
	}
	return errors.Join(errs...)
}
