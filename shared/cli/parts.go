package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/ses"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
)

// stopTimeout bounds the stop of a server, below the 10 s after which Docker kills a container.
const stopTimeout = 8 * time.Second

// runServer waits for a signal, or for the first failure of a part, once start has opened the parts.
func (a *app) runServer(ctx context.Context, start func(context.Context) error) error {
	// The garbage collector runs each time the heap has doubled. These bytes, which are never used, so that they take no memory,
	// count as heap: otherwise it would run for every few megabytes that requests allocate.
	reserve := make([]byte, 64<<20)
	defer runtime.KeepAlive(reserve)
	signal.Ignore(syscall.SIGPIPE) // `sipeat serve | head -1` closes the pipe
	a.running, a.stop = context.WithCancelCause(ctx)
	defer a.stop(nil) // the consumers begin to stop while the API drains
	if err := start(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	<-a.running.Done()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(a.running)
}

func (a *app) open(ctx context.Context, where string) error {
	if err := a.openTelemetry(ctx); err != nil {
		return err
	}
	channels, err := a.openNotifier(ctx)
	if err != nil {
		return err
	}
	for i, c := range channels { // each channel by itself: each has its own claims, too
		channels[i].Notifier = observe.Notifier(c.Notifier, a.metrics, a.tracing)
	}
	a.notifier = channels
	if err := a.openModel(ctx, where); err != nil {
		return err
	}
	if err := a.openPublisher(); err != nil {
		return err
	}
	a.events = observe.Publisher(a.publisher, a.metrics, a.tracing)
	return nil
}

func (a *app) openTelemetry(ctx context.Context) (err error) {
	a.metrics = observe.NewMetrics(currentVersion())
	if a.tracing, err = observe.NewTracing(ctx, os.Getenv, currentVersion(), a.logger); err != nil {
		return usageError{err}
	}
	if a.tracing != nil {
		a.add("traces", a.tracing.Close)
	}
	if a.settings.Metrics == "" {
		return nil
	}
	metrics := a.metrics.Handler()
	if settings.IsLoopback(a.settings.Metrics) {
		metrics = gateway.OwnName(metrics)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	return a.listenAndServe("metrics", a.settings.Metrics, "METRICS", "/metrics", mux)
}

func (a *app) openPublisher() (err error) {
	if a.publisher, err = kafka.NewPublisher(a.cluster, a.logger); err != nil {
		return err
	}
	a.events = a.publisher
	a.add("publisher", a.publisher.Close)
	return nil
}

func (a *app) openModel(ctx context.Context, where string) (err error) {
	if a.store, err = a.openStore(ctx, where); err != nil {
		return err
	}
	a.model = where
	a.claims, err = a.openClaims(ctx, where)
	return err
}

// openStore opens a read model: a SQLite file, or DynamoDB's table of the settings.
func (a *app) openStore(ctx context.Context, where string) (store.Store, error) {
	if where == settings.DynamoDB {
		return a.openTable(ctx, a.settings.Table)
	}
	if where == settings.DefaultStore {
		if err := os.MkdirAll(filepath.Dir(where), 0o700); err != nil { // as `sipeat serve` makes it
			return nil, fmt.Errorf("STORE: %w", err)
		}
	}
	s, err := sqlite.Open(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("STORE: %w", err)
	}
	a.add("read model", func(context.Context) error { return s.Close() })
	return s, nil
}

func (a *app) openTable(ctx context.Context, name string) (store.Store, error) {
	return open(ctx, a, "read model", func(cfg aws.Config) (*dynamodb.Store, error) { return dynamodb.Open(cfg, name) })
}

// openClaims opens the delivery claims that belong to a read model: those of CLAIMS_FILE, of claims.db in the folder of
// another file, or DynamoDB's table of the settings.
func (a *app) openClaims(ctx context.Context, where string) (store.Claims, error) {
	if where == settings.DynamoDB {
		return open(ctx, a, "delivery claims", func(cfg aws.Config) (*dynamodb.Claims, error) {
			return dynamodb.OpenClaims(cfg, a.settings.ClaimsTable, time.Now)
		})
	}
	path := claimsFile(where)
	if where == a.settings.Store && a.settings.ClaimsFile != "" {
		path = a.settings.ClaimsFile
	}
	c, err := sqlite.OpenClaims(ctx, path, time.Now)
	if err != nil {
		return nil, fmt.Errorf("CLAIMS_FILE: %w", err)
	}
	a.add("delivery claims", func(context.Context) error { return c.Close() })
	return c, nil
}

func claimsFile(model string) string { return filepath.Join(filepath.Dir(model), "claims.db") }

// open opens a table of DynamoDB, and creates it on DynamoDB Local if it does not exist.
func open[T interface {
	Create(context.Context) error
	Check(context.Context) error
	Close() error
}](ctx context.Context, a *app, name string, open func(aws.Config) (T, error)) (t T, err error) {
	cfg, local, err := a.dynamoDB(ctx)
	if err == nil {
		t, err = open(cfg)
	}
	if err != nil {
		return t, fmt.Errorf("STORE=dynamodb: %w", err)
	}
	a.add(name, func(context.Context) error { return t.Close() })
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	ready := t.Check
	if local {
		ready = t.Create
	}
	if err := ready(ctx); err != nil {
		return t, fmt.Errorf("STORE=dynamodb: %w", err)
	}
	return t, nil
}

// dynamoDB returns the config of AWS's DynamoDB, or of a local one that DYNAMODB_ENDPOINT names and that needs no credentials.
func (a *app) dynamoDB(ctx context.Context) (cfg aws.Config, local bool, err error) {
	if os.Getenv("DYNAMODB_ENDPOINT") == "" {
		cfg, err = a.aws.regional(ctx)
		return cfg, false, err
	}
	if cfg, err = dynamodb.FromEnvironment(os.Getenv); err != nil {
		err = usageError{err}
	}
	return cfg, true, err
}

// storeCheck fails while the read model is unreachable or lacks events.
func (a *app) storeCheck() web.Check {
	return web.Check{Name: "store", Probe: a.store.Ping, Facts: func(err error) any {
		if errors.Is(err, store.ErrBehind) {
			return "the read model is behind the group's commits: run `sipeat rebuild`, see its --help"
		}
		return nil
	}}
}

func (a *app) openDeadLetters() (bus.DeadLetters, error) {
	deadLetters, err := kafka.NewDeadLetters(a.cluster, a.logger)
	if err != nil {
		return nil, err
	}
	a.add("dead letters", func(context.Context) error {
		deadLetters.Close()
		return nil
	})
	return a.consumers().DeadLetters(deadLetters), nil
}

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

func (a *app) consumers() consumers.Consumers {
	return consumers.Consumers{
		Publisher: a.events, Notifier: a.notifier, Claims: a.claims, AnnouncedBy: a.settings.AnnouncedByProducer,
		Store: consumers.Projected(a.store),
	}
}

// add adds what is to be closed. A server logs it.
func (a *app) add(name string, close func(context.Context) error) {
	a.closers = append(a.closers, func(ctx context.Context) error {
		if !a.server {
			_ = close(ctx) // the command has waited for what matters to it
			return nil
		}
		a.logger.Info("ending " + name)
		if err := close(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// close closes the parts in the opposite order to that in which they were added, within [stopTimeout] if it is a server.
func (a *app) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if !a.server {
		cancel()
	}
	for _, end := range slices.Backward(a.closers) {
		err = errors.Join(err, end(ctx))
	}
	return err
}
