package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/ses"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
)

// stopTimeout bounds the stop of a server, below the 10 s after which Docker kills a container.
const stopTimeout = 8 * time.Second

// drainTimeout is how much of that requests in hand may take.
const drainTimeout = 6 * time.Second

// parts are what functions need, opened from the settings. Implementations are chosen here and in store.go only.
type parts struct {
	app       *app
	cluster   settings.Kafka
	store     store.Store
	claims    store.Claims
	publisher *kafka.Publisher
	notifier  notify.Notifier
	telemetry *telemetry
	checks    []web.Check // of readiness, beside those of Kafka and the read model
	served    bool        // the API has its listener
	failed    chan error  // the first failure of a part
	brief     bool        // for one call: closing does not wait and logs nothing
	consumed  []consumed
	closers   []closer
	running   context.Context // of the consumers
	stop      context.CancelFunc
}

func (a *app) newParts(cluster settings.Kafka) *parts {
	p := &parts{app: a, cluster: cluster, failed: make(chan error, 1)}
	p.running, p.stop = context.WithCancel(context.Background())
	return p
}

// open opens the read model, the publisher and the notifier, observed.
func (p *parts) open(ctx context.Context, where string) (err error) {
	if p.telemetry, err = p.app.observe(ctx, p); err != nil {
		return err
	}
	channels, err := p.app.openNotifier(ctx)
	if err != nil {
		return err
	}
	p.notifier = p.telemetry.notifier(channels)
	if err := p.openStore(ctx, where); err != nil {
		return err
	}
	return p.openPublisher()
}

func (p *parts) openPublisher() (err error) {
	if p.publisher, err = kafka.NewPublisher(p.cluster, p.app.logger); err != nil {
		return err
	}
	p.add("publisher", p.publisher.Close)
	return nil
}

// openStore opens the read model and the delivery claims.
func (p *parts) openStore(ctx context.Context, where string) (err error) {
	if p.store, err = p.app.openStore(ctx, where); err != nil {
		return err
	}
	p.add("read model", func(context.Context) error { return p.store.Close() })
	if p.claims, err = p.app.openClaims(ctx, where); err != nil {
		return err
	}
	p.add("delivery claims", func(context.Context) error { return p.claims.Close() })
	return nil
}

func (p *parts) openDeadLetters() (*kafka.DeadLetters, error) {
	letters, err := kafka.NewDeadLetters(p.cluster, p.app.logger)
	if err != nil {
		return nil, err
	}
	p.add("dead letters", func(context.Context) error {
		letters.Close()
		return nil
	})
	return letters, nil
}

// openNotifier opens the channels in NOTIFY.
func (a *app) openNotifier(ctx context.Context) (notify.Channels, error) {
	var unavailable error // AWS's credentials: the settings may be right
	openSES := func(m notify.Composer) (notify.Notifier, error) {
		cfg, err := a.aws.regional(ctx)
		if err != nil {
			if usage := (usageError{}); !errors.As(err, &usage) {
				unavailable = fmt.Errorf("NOTIFY=ses: %w", err)
			}
			return nil, fmt.Errorf("NOTIFY=ses: %w", err)
		}
		return ses.New(m, cfg), nil
	}
	channels, err := notify.New(a.settings.Notify, notify.Options{Logger: a.logger, SES: openSES})
	if unavailable != nil {
		return nil, unavailable
	}
	if err != nil {
		return nil, usageError{err}
	}
	return channels, nil
}

// fail records the first failure of a part.
func (p *parts) fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// unlessAsked is the error of a server that did not start; none if a signal stopped it before it was ready.
func (p *parts) unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	p.app.logger.Info("stopped before it was ready")
	return nil
}

// wait waits for a signal or the first failure.
func (p *parts) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

type closer struct {
	name string
	end  func(context.Context) error
}

func (p *parts) add(name string, end func(context.Context) error) {
	p.closers = append(p.closers, closer{name, end})
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
	for i := len(p.closers) - 1; i >= 0; i-- {
		if !p.brief {
			p.app.logger.Info("ending " + p.closers[i].name)
		}
		if err := p.closers[i].end(ctx); err != nil && !p.brief {
			errs = append(errs, fmt.Errorf("%s: %w", p.closers[i].name, err))
		}
	}
	return errors.Join(errs...)
}
