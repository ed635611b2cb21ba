package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// outage logs that no broker of a cluster answers, and when one does again. It is a hook of all clients of the cluster.
type outage struct {
	brokers string
	logger  *slog.Logger
	failing atomic.Bool // the last exchange with a broker failed

	mu     sync.Mutex
	since  time.Time
	cause  error
	timer  *time.Timer
	logged bool
	shown  map[string]time.Time // warnings and errors, by key
}

const (
	outageAfter  = 2 * time.Second // one broker of several may be away; others then answer
	outageRepeat = 5 * time.Minute
)

type outageOf struct {
	brokers string
	logger  *slog.Logger
}

var outages sync.Map // *outage by outageOf: the clients of a process all notice the same

func newOutage(brokers []string, logger *slog.Logger) *outage {
	of := outageOf{strings.Join(brokers, ","), logger}
	o, _ := outages.LoadOrStore(of, &outage{brokers: of.brokers, logger: logger, shown: map[string]time.Time{}})
	return o.(*outage)
}

var (
	_ kgo.HookBrokerConnect = (*outage)(nil)
	_ kgo.HookBrokerE2E     = (*outage)(nil)
)

func (o *outage) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil { // a connection alone is no answer
		o.note(err)
	}
}

func (o *outage) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) { o.note(e2e.Err()) }

func (o *outage) note(err error) {
	if err == nil && !o.failing.Load() ||
		errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err,
		net.ErrClosed) { // our own doing
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failing.Store(err != nil)
	switch {
	case err != nil && o.since.IsZero():
		o.since, o.cause = time.Now(), err
		o.timer = time.AfterFunc(outageAfter, o.say)
	case err != nil:
		o.cause = err
	case !o.since.IsZero():
		o.timer.Stop()
		if o.logged {
			o.logger.Info("Kafka is back", "brokers", o.brokers, "after", time.Since(o.since).Round(time.Millisecond))
		}
		o.since, o.logged = time.Time{}, false
	}
}

func (o *outage) say() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.logger.Error("Kafka is away: no broker answers; retrying", "brokers", o.brokers,
		"since", o.since.UTC().Format(time.RFC3339), "error", o.cause)
	o.logged = true
	o.timer = time.AfterFunc(outageRepeat, o.say)
}

// show reports whether to show a warning or error.
func (o *outage) show(key string, now time.Time) bool {
	if o.failing.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.shown[key]) < repeatAfter {
		return false
	}
	for k, at := range o.shown {
		if now.Sub(at) > repeatAfter {
			delete(o.shown, k)
		}
	}
	o.shown[key] = now
	return true
}
